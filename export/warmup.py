"""Warm-up records: a server answers them before it announces a version, so no client waits."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from export.contract import EXTRA
from export.messages import Exchange
from tfrec.console import import_tensorflow

# The name that TensorFlow Serving looks for in assets.extra.
WARMUP = "tf_serving_warmup_requests"


def write_warmup(folder: Path, exchanges: Iterable[Exchange]) -> None:
    """Writes the requests as a TFRecord file of PredictionLogs.

    Arguments:
        folder: of the version.
        exchanges: what to be warmed up with, one of every signature.
    """
    tf = import_tensorflow()
    from tensorflow_serving.apis import prediction_log_pb2

    with tf.io.TFRecordWriter(str(folder / EXTRA / WARMUP)) as writer:
        for exchange in exchanges:
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(exchange.request)
            writer.write(log.SerializeToString())
