"""A signature called without any server, in a process of its own.

    python benchmarks/bare_calls.py VERSION SIGNATURE THREADS

THREADS are those inside one operation; 0 lets TensorFlow choose. For every line on standard input,
a number of calls, it prints their median in ms.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import time
from pathlib import Path

from sample_requests import read_samples

from tfrec.console import import_tensorflow


def main(version: str, name: str, threads: str) -> None:
    tf = import_tensorflow()
    tf.config.threading.set_intra_op_parallelism_threads(int(threads))
    importlib.import_module("tensorflow_text")  # its ops: the server has them too
    from tensorflow_serving.apis import predict_pb2

    [request, *_] = read_samples(Path(version)).requests[name]
    proto = predict_pb2.PredictRequest.FromString(request.grpc)
    inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in proto.inputs.items()}
    signature = tf.saved_model.load(version).signatures[name]

    def call() -> float:
        started = time.perf_counter()
        for value in signature(**inputs).values():
            value.numpy()
        return 1000 * (time.perf_counter() - started)

    for _ in range(20):
        call()
    print("ready", flush=True)
    for line in sys.stdin:
        print(statistics.median(call() for _ in range(int(line))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
