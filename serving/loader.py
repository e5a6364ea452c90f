"""One version of a model in memory: any SavedModel, its signatures, and a fast way to run them."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from serving.sessions import open_session
from serving.status import Code, ServingError
from serving.tensors import Array, from_proto

DEFAULT_SIGNATURE = "serving_default"
# A request may name any subset of the outputs; each has a callable, up to this many.
MAX_CALLABLES = 256
_CALLERS_THREAD = -1  # in the place of a pool's number


class Runner(Protocol):
    """Runs a graph: at once (`SavedModel`) or merged with other requests (`batching`)."""

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], deadline: float | None
    ) -> list[Array]: ...


@dataclass(frozen=True)
class Signature:
    """A SignatureDef, read once.

    Fields:
        method: e.g. "tensorflow/serving/classify".
        inputs: name of an input -> (name of its tensor, DataType), sorted by name.
        outputs: name of an output -> name of its tensor, sorted by name.
        defaults: inputs that a request may leave out -> their values.
        proto: the SignatureDef itself.
    """

    name: str
    method: str
    inputs: Mapping[str, tuple[str, int]]
    outputs: Mapping[str, str]
    defaults: Mapping[str, Array]
    proto: Any


class SavedModel:
    """A SavedModel loaded into a session of its own.

    A session rather than `tf.saved_model.load`: it runs models of TensorFlow 1 and 2 alike, with
    their assets and initialisers, takes shapes other than the declared ones as TensorFlow Serving
    does, and costs a third of the time per call.

    Arguments:
        path: the folder that holds saved_model.pb.
        tags: which of its graphs, e.g. {"serve"}.
        intra_op, inter_op: threads inside an operation, and for operations; 0 lets TensorFlow
            choose.
        pooled: operations run on these threads; otherwise, and unless a number of them is asked
            for, in the thread that brings the request.

    Raises:
        ServingError or an error of TensorFlow's: it cannot be loaded.
    """

    def __init__(
        self,
        path: Path,
        tags: set[str],
        intra_op: int = 0,
        inter_op: int = 0,
        pooled: bool = False,
    ) -> None:
        if not any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
            raise ServingError(
                Code.NOT_FOUND,
                "Could not find SavedModel .pb or .pbtxt at supplied export directory path: "
                f"{path}. Check that the directory exists and that you have the right permissions.",
            )
        try:
            self._session, meta = open_session(path, tags, intra_op, inter_op)
        except RuntimeError as error:  # no graph with these tags
            raise ServingError(Code.NOT_FOUND, str(error)) from None
        # To wake another thread costs a small model as much as its answer.
        pooled = pooled or inter_op > 0 or _waits(meta.graph_def)
        self._pool = 0 if pooled else _CALLERS_THREAD
        self._callables: dict[tuple[tuple[str, ...], tuple[str, ...]], Callable[..., Any]] = {}
        self._making = threading.Lock()
        # Copies: a part of the MetaGraphDef would keep all of it in memory.
        self.signature_protos: dict[str, Any] = copy.deepcopy(dict(meta.signature_def.items()))
        self.signatures = {
            name: _signature(name, proto) for name, proto in self.signature_protos.items()
        }

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], deadline: float | None = None
    ) -> list[Array]:
        """Computes tensors.

        Arguments:
            feeds: name of a tensor -> its value.
            fetches: names of the wanted tensors.
            deadline: not used here: a running graph is not interrupted.

        Raises:
            tf.errors.OpError: a wrong type, or an operation failed.
        """
        wanted = tuple(sorted(set(fetches)))
        outputs = self._callable(tuple(feeds), wanted)(*feeds.values())
        by_name = dict(zip(wanted, outputs, strict=True))
        return [_array(by_name[name]) for name in fetches]

    def close(self) -> None:
        """Frees the variables. Nothing may be running."""
        self._callables.clear()
        self._session.close()

    def _callable(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> Callable[..., Any]:
        found = self._callables.get((feeds, fetches))
        if found is not None:
            return found
        with self._making:
            found = self._callables.get((feeds, fetches))
            if found is not None:
                return found
            from tensorflow.core.protobuf import config_pb2

            options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
            options.run_options.inter_op_thread_pool = self._pool
            made: Callable[..., Any] = self._session._make_callable_from_options(options)
            if len(self._callables) < MAX_CALLABLES:
                self._callables[feeds, fetches] = made
            return made


def _waits(graph: Any) -> bool:
    """Whether an operation may hold its thread until another one has run: on staging areas."""
    return any("tage" in node.op for node in graph.node)


def _signature(name: str, proto: Any) -> Signature:
    return Signature(
        name=name,
        method=proto.method_name,
        inputs={alias: (info.name, info.dtype) for alias, info in sorted(proto.inputs.items())},
        outputs={alias: info.name for alias, info in sorted(proto.outputs.items())},
        defaults={alias: from_proto(value) for alias, value in sorted(proto.defaults.items())},
        proto=proto,
    )


def _array(value: Any) -> Array:
    if isinstance(value, bytes):  # a single string: NumPy would cut trailing zero bytes off
        scalar = np.empty((), object)
        scalar[()] = value
        return scalar
    return np.asarray(value)
