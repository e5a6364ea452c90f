"""Warm-up records: a server answers them before it announces a version, so no client waits."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from export.contract import EXTRA
from export.disk import cannot_write
from export.messages import Exchange
from tfrec.console import import_tensorflow

# The name that TensorFlow Serving looks for in assets.extra.
WARMUP = "tf_serving_warmup_requests"

# The field of a PredictionLog by the kind of request.
_LOGS = {
    "PredictRequest": "predict_log",
    "ClassificationRequest": "classify_log",
    "RegressionRequest": "regress_log",
}


def write_warmup(folder: Path, exchanges: Iterable[Exchange]) -> None:
    """Writes the requests as a TFRecord file of PredictionLogs.

    Arguments:
        folder: of the version.
        exchanges: what to be warmed up with, one of every signature.

    Raises:
        UserError: it cannot be written.
    """
    tf = import_tensorflow()
    from tensorflow_serving.apis import prediction_log_pb2

    path = folder / EXTRA / WARMUP
    try:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for exchange in exchanges:
                log = prediction_log_pb2.PredictionLog()
                kind = exchange.request.DESCRIPTOR.name
                getattr(log, _LOGS[kind]).request.CopyFrom(exchange.request)
                writer.write(log.SerializeToString())
    except tf.errors.OpError as error:
        raise cannot_write(path, error) from None
