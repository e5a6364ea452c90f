"""Texts of things that are taken together get vectors that point the same way."""

from __future__ import annotations

from typing import Any

from keras import ops

from tfrec.console import import_tensorflow
from tfrec.text.encoder import Encoder
from tfrec.training.objective import Terms

# Of UniSRec's contrastive pre-training: Hou et al., KDD 2022, arXiv 2206.05941, §3.1.3.
TEMPERATURE = 0.07
_TINY = 1e-12


class PairObjective:
    """The contrastive loss of an `Encoder` on batches of `PairBatches`."""

    def start_epoch(self, epoch: int) -> None:
        """Nothing changes between epochs."""

    def __call__(self, model: Encoder, batch: dict[str, Any]) -> Terms:
        vectors = model.encode_tokens(batch, training=True)
        replica = import_tensorflow().distribute.get_replica_context()
        everyone = vectors
        if replica.num_replicas_in_sync > 1:
            everyone = replica.all_gather(vectors, axis=0)
        return {"pairs": pair_loss(vectors, everyone, batch["negatives"], batch["weights"])}


def pair_loss(vectors: Any, everyone: Any, negatives: Any, weights: Any) -> Any:
    """Each row must find the other one of its pair among all rows that it is to be told apart from.

    NT-Xent (Chen et al., SimCLR, arXiv 2002.05709, eq. 1): cosine similarity divided by a
    temperature, and a softmax over the partner and the negatives.

    Arguments:
        vectors: float [R, d], rows 2n and 2n + 1 are a pair.
        everyone: float [A, d], the rows of all replicas.
        negatives: bool [R, A], True where a row is to be told apart from another; never a pair.
        weights: float [R].

    Returns:
        float32 scalar, Σ weights · loss.

    Example:
        Two pairs whose vectors are all alike: a guess among three texts, log 3.

        >>> vectors = ops.ones((4, 2))
        >>> apart = ops.array([[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]) > 0
        >>> round(float(pair_loss(vectors, vectors, apart, ops.ones(4) / 4)), 3)
        1.099
    """
    unit, others = _unit(vectors), _unit(everyone)
    dim = unit.shape[-1]
    partner = ops.reshape(ops.flip(ops.reshape(unit, (-1, 2, dim)), axis=1), (-1, dim))
    positive = ops.sum(unit * partner, axis=-1, keepdims=True) / TEMPERATURE  # [R, 1]
    leads = ops.matmul(unit, ops.transpose(others)) / TEMPERATURE - positive  # [R, A]
    # log(1 + Σ exp): the largest lead stands aside, so that nothing overflows.
    leads = ops.where(negatives, leads, -1e9)
    nothing = ops.zeros_like(positive)
    return ops.sum(weights * ops.logsumexp(ops.concatenate([nothing, leads], axis=1), axis=1))


def _unit(vectors: Any) -> Any:
    vectors = ops.cast(vectors, "float32")
    return vectors * ops.rsqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True) + _TINY)
