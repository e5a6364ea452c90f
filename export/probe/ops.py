"""Which ops a SavedModel needs, and which of them a stock server lacks."""

from __future__ import annotations

import importlib
from pathlib import Path

from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

# Registered everywhere, but they call back into the Python process that made them.
_PYTHON = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


def op_names(folder: Path) -> list[str]:
    """Every kind of op in the graph and in the functions that it calls."""
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    found: set[str] = set()
    functions: set[str] = set()
    for meta_graph in saved.meta_graphs:
        library = meta_graph.graph_def.library.function
        found.update(node.op for node in meta_graph.graph_def.node)
        found.update(node.op for function in library for node in function.node_def)
        functions.update(function.signature.name for function in library)
    return sorted(found - functions)


def not_served(names: list[str]) -> list[str]:
    """Those that tensorflow_model_server does not link: all but TensorFlow's and TF Text's.

    This process must not have imported anything else that registers ops.
    """
    unknown = [name for name in names if op_def_registry.get(name) is None]
    if unknown:
        importlib.import_module("tensorflow_text")  # registers its ops
    return [name for name in names if name in _PYTHON or op_def_registry.get(name) is None]
