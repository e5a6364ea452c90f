"""A finished run -> a SavedModel with all signatures of the contract."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from export.disk import cannot_write
from export.index.options import IndexReport
from export.options import PLAIN, Options
from export.samples import Sample, newest_users
from export.signatures import FORMS, Signature, Sizes, contract, inputs, short
from tfrec.atomic import written
from tfrec.config import resolve
from tfrec.console import import_tensorflow
from tfrec.errors import UserError
from tfrec.run import CONFIG, RunConfig, must_be_run

if TYPE_CHECKING:
    from export.pruning import Facets

DEFAULT = "serving_default"


class Exported(NamedTuple):
    """What was written.

    Attributes:
        signatures: by name, `serving_default` among them.
        sizes: what the run fixes.
        config: of the run. epoch: that the weights are from, counted from 1.
        samples: real histories, of the users with the newest events of the log.
        indexed: how recommendations are searched for; None: exactly.
        facets: those of the run and those that are kept; None for a model without any.
        options: that it was made with.
    """

    signatures: dict[str, Signature]
    sizes: Sizes
    config: RunConfig
    epoch: int
    samples: list[Sample]
    indexed: IndexReport | None
    facets: Facets | None
    options: Options


def save_run(run: Path, folder: Path, options: Options = PLAIN) -> Exported:
    """Writes a run as a SavedModel.

    Arguments:
        run: of `python -m tfrec.train`, finished.
        folder: to be made; whoever calls sees to it that half a folder is never served.
        options: of the export.

    Raises:
        RecallError: the index does not reach the recall that is promised.
        UserError: the run is not finished or damaged, its data or its text encoder is gone, or the
            folder cannot be written.

    Example:
        >>> save_run(Path("runs/a"), Path("models/a/1")).sizes.model  # doctest: +SKIP
        'ledger'
    """
    if options.top_k < 1:
        raise UserError(f"the number of recommended items must be at least 1, got {options.top_k}")
    config = resolve(RunConfig, argparse.Namespace(), must_be_run(run) / CONFIG)
    tf = import_tensorflow()
    from export.assembly import assemble
    from tfrec.interest.readouts import Readouts
    from tfrec.trained import load_trained, with_own_encoder

    # First what an unfinished run does not have: it says so at once.
    readouts = Readouts.load(run)
    trained = load_trained(run, config)
    own = with_own_encoder(run, config)
    assembled = assemble(own, trained, readouts, options)
    signatures = contract(assembled.sizes)
    with assembled.weights:
        graphs = {
            name: _graph(one, assembled.sizes, assembled.answers[short(name)])
            for name, one in signatures.items()
        }
    signatures[DEFAULT], graphs[DEFAULT] = signatures["recommend"], graphs["recommend"]

    root = tf.Module()
    # Only what some signature reads.
    root.variables_read = list({id(v): v for g in graphs.values() for v in g.variables}.values())
    root.kept = assembled.kept
    try:
        # TensorFlow asks for a word before it saves operations that are not its own.
        named = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
        tf.saved_model.save(root, str(folder), signatures=graphs, options=named)
        _name_methods(folder)
    except (OSError, tf.errors.OpError) as error:
        raise cannot_write(folder, error) from None
    return Exported(
        signatures,
        assembled.sizes,
        config,
        trained.epoch,
        newest_users(trained.data),
        assembled.indexed,
        assembled.facets,
        options,
    )


def _name_methods(folder: Path) -> None:
    """TensorFlow names every signature's method predict; servers may insist on the right one."""
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.saved_model.fingerprinting_utils import write_fingerprint

    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for name in FORMS:
        saved.meta_graphs[0].signature_def[name].method_name = f"tensorflow/serving/{name}"
    with written(path) as file:
        file.write(saved.SerializeToString(deterministic=True))
    write_fingerprint(str(folder))  # of the file as it is now


def _graph(signature: Signature, sizes: Sizes, answer: Callable[..., dict[str, Any]]) -> Any:
    """The signature as a graph, with the shapes that the contract promises."""
    tf = import_tensorflow()
    from export.graph.agreement import agreeing

    shapes = {name: tensor.shape for name, tensor in inputs(signature).items()}

    def call(**given: Any) -> dict[str, Any]:
        found = answer(**agreeing(given, shapes))
        if found.keys() != signature.outputs.keys():
            raise ValueError(f"{sorted(found)} are not the outputs {sorted(signature.outputs)}")
        return {
            name: tf.ensure_shape(tf.identity(found[name]), sizes.of(tensor.shape))
            for name, tensor in signature.outputs.items()
        }

    specs = {
        name: tf.TensorSpec(sizes.of(tensor.shape), tensor.dtype, name)
        for name, tensor in inputs(signature).items()
    }
    # Nothing here branches on a tensor, and conversion would take most of the time.
    return tf.function(call, autograph=False).get_concrete_function(**specs)
