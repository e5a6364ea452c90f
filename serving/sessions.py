"""A SavedModel in a session of its own, brought in while other threads go on answering requests.

TensorFlow holds Python's lock while it imports a graph. Two things made that long, and with it
every request that came during a load: it inferred shapes through every function that a signature
calls, and all functions came in at once. Here the graph comes in before the functions that it
calls, and these one by one.
"""

from __future__ import annotations

import importlib
import itertools
from pathlib import Path
from typing import Any

from serving.console import import_tensorflow

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_INIT = "__saved_model_init_op"


def open_session(path: Path, tags: set[str], intra_op: int, inter_op: int) -> tuple[Any, Any]:
    """Loads variables, assets and initialisers as `tf.compat.v1.saved_model.load` does.

    Arguments:
        path: the folder that holds saved_model.pb.
        tags: which of its graphs.
        intra_op, inter_op: threads; 0 lets TensorFlow choose.

    Returns:
        The session, and the MetaGraphDef, which may have lost the functions of its graph.

    Raises:
        RuntimeError: there is no graph with these tags; or errors of TensorFlow's.
    """
    tf = import_tensorflow()
    importlib.import_module("tensorflow_text")  # its ops: TensorFlow Serving links them too
    from tensorflow.python.saved_model import loader_impl

    wanted = sorted(tags)
    saved = loader_impl.SavedModelLoader(str(path))
    meta = saved.get_meta_graph_def_from_tags(wanted)
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=intra_op,
        inter_op_parallelism_threads=inter_op,
        # First runs optimise functions on these threads, for seconds. Were they shared, requests
        # to the version that is being replaced would wait behind them.
        use_per_session_threads=True,
    )
    _optimise_once(meta.graph_def)
    functions = []
    if _only_calls(meta):
        functions = _take_functions(meta.graph_def)
        # Each function is optimised where it is called. To do it for the whole graph as well
        # copies the library of all functions for every signature and leaves nothing better.
        config.graph_options.rewrite_options.disable_meta_optimizer = True
    graph = tf.Graph()
    with graph.as_default():
        session = tf.compat.v1.Session(graph=graph, config=config)
        try:
            saver, _ = saved.load_graph(graph, wanted)
            for function in functions:
                piece = tf.compat.v1.GraphDef(versions=meta.graph_def.versions)
                piece.library.function.append(function)
                tf.import_graph_def(piece, name="")
            saved.restore_variables(session, saver)
            saved.run_init_ops(session, wanted)
        except BaseException:
            session.close()
            raise
    return session, meta


def _optimise_once(graph: Any) -> None:
    """Leaves out what costs half of a signature's first run and makes no later run faster.

    A function is optimised with the settings in the node that calls it. They say nothing about a
    second pass over the result, another representation and swapping of memory, so all would be.
    Constants are folded as well, which takes most of the time where loops are unrolled; but that
    is done a second time, and faster, whenever a function is made ready to run.
    """
    from tensorflow.core.protobuf import config_pb2
    from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig as Rewriter

    made: dict[bytes, bytes] = {}
    calls = (node for function in graph.library.function for node in function.node_def)
    for node in itertools.chain(graph.node, calls):
        if "config_proto" not in node.attr:
            continue
        given = node.attr["config_proto"].s
        if given not in made:
            config = config_pb2.ConfigProto.FromString(given)
            rewrites = config.graph_options.rewrite_options
            rewrites.disable_tfg_optimizer = True
            if rewrites.constant_folding == Rewriter.DEFAULT:
                rewrites.constant_folding = Rewriter.OFF
            if rewrites.meta_optimizer_iterations == Rewriter.DEFAULT_NUM_ITERS:
                rewrites.meta_optimizer_iterations = Rewriter.ONE
            if rewrites.memory_optimization == Rewriter.DEFAULT_MEM_OPT:
                rewrites.memory_optimization = Rewriter.NO_MEM_OPT
            made[given] = config.SerializeToString()
        node.attr["config_proto"].s = made[given]


def _only_calls(meta: Any) -> bool:
    """Whether every output of every signature is what a function returns, as in TensorFlow 2."""
    kinds = {node.name: node.op for node in meta.graph_def.node}
    outputs = [
        kinds.get(info.name.partition(":")[0])
        for name, signature in meta.signature_def.items()
        if name != _INIT
        for info in signature.outputs.values()
    ]
    return bool(outputs) and all(kind in _CALLS for kind in outputs)


def _take_functions(graph: Any) -> list[Any]:
    """Removes the functions that can come in after the graph: all, or none.

    A node whose operation is itself a function needs it to be there first.
    """
    functions = list(graph.library.function)
    names = {function.signature.name for function in functions}
    if graph.library.gradient or any(node.op in names for node in graph.node):
        return []
    del graph.library.function[:]
    return functions
