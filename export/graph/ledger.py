"""A user as the parts of a ledger: every score is a sum of their products with an item's parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from export.graph.catalogue import Catalogue
from export.graph.history import Events, read
from export.graph.stored import Stored
from export.options import Storage
from tfrec.interest.reading import newest

if TYPE_CHECKING:
    from tfrec.interest.strength_lines import StrengthWeights
    from tfrec.models.ledger import Ledger


class LedgerUser(NamedTuple):
    """B users, each at the time of the request, with n events read; all gains are inside.

    Attributes:
        state: float32 [B, S]; its product with an item vector is the score.
        events: g_f a_fs v_fs, whose product with õ_fi is the line c_fs(i), [B, n, K, d].
        place: of each event of the request among those read, int32 [B, L], -1 for none.
        gates: g_f, [B, K].
        crowd: κ in the column of the request's period, [B, W].
        grades: how far the strength of each event lies above what was to be expected, [B, n].
        habit: the user's own level of strength, [B].
        liking: whose product with an item's vector adds to its strength, [B, 16].
        context: [B, d]; None when the model has no residual line.
    """

    state: Any
    events: Any
    place: Any
    gates: Any
    crowd: Any
    grades: Any
    habit: Any
    liking: Any
    context: Any

    @property
    def facets(self) -> Any:
        """u_f = g_f Σ_s a_fs v_fs, [B, K, d]."""
        return tf.reduce_sum(self.events, axis=1)


class ItemParts(NamedTuple):
    """The parts of item vectors: blocks õ_fi [..., K, d], popularity lp_i by period [..., W],
    quality β_i [...], context [..., d] or None."""

    blocks: Any
    popularity: Any
    quality: Any
    context: Any


class LedgerReader:
    """Reads histories with a trained ledger.

    Arguments:
        model: with its trained weights.
        catalogue: its items.
        commonest: the action that events have where it is not known.
        facets: numbers of those that count, rising; the others are as if they had never been.
            From here on K is how many they are. The catalogue's vectors have `columns` of these.
        storage: of the items' embeddings, which are computed once.
    """

    def __init__(
        self,
        model: Ledger,
        catalogue: Catalogue,
        commonest: int,
        facets: Sequence[int],
        storage: Storage = "float32",
    ) -> None:
        self.model = model
        self.facets = list(facets)
        table = np.asarray(model.tower(), np.float32)  # [I, D] in the model's own order
        self._table = Stored(table, storage, "item_embeddings")
        self._catalogue = catalogue
        self._commonest = commonest

    def read(self, events: Events) -> LedgerUser:
        """The parts of every line."""
        found = read(events, self.model.max_length, self._commonest)
        items = found.tokens["items"]
        said = items >= self._catalogue.size
        rows = self._catalogue.rows(tf.where(said, -1, items))
        tokens = found.tokens | {"items": tf.where(said, items, rows)}
        if events.texts is not None:
            tokens["texts"] = events.texts
        newest_of = newest(self.model, self._table.whole())
        weights, values, gates, conformity, period, context, grades, habit, liking = newest_of(
            tokens
        )
        if len(self.facets) < self.model.facets:
            weights, gates = (tf.gather(part, self.facets, axis=1) for part in (weights, gates))
            values = tf.gather(values, self.facets, axis=2)
        gates *= events.facet_gain
        conformity *= events.conformity_gain
        weights = tf.transpose(weights, [0, 2, 1]) * gates[:, None] * found.event_gain[..., None]
        lines = weights[..., None] * values  # [B, n, K, d]
        crowd = conformity[:, None] * period
        width = len(self.facets) * self.model.facet_dim
        parts = [
            tf.reshape(tf.reduce_sum(lines, axis=1), [-1, width]),
            crowd,
            tf.ones_like(habit)[:, None],
            *([] if context is None else [context]),
        ]
        return LedgerUser(
            state=tf.concat(parts, axis=1),
            events=lines,
            place=found.place,
            gates=gates,
            crowd=crowd,
            grades=grades,
            habit=habit,
            liking=tf.reduce_sum(liking * found.event_gain[..., None], axis=1),
            context=context,
        )

    @property
    def line_sizes(self) -> list[int]:
        """Numbers of a state, and of an item vector, that belong to each facet, to the crowd, to
        quality, and to context where the model has it."""
        width = self.model.facet_dim
        sizes = [width] * len(self.facets) + [self.model.num_periods, 1]
        return [*sizes, width] if self.model.residual else sizes

    def parts(self, vectors: Any) -> ItemParts:
        """Item vectors [..., S] taken apart again."""
        facets = len(self.facets)
        sizes = self.line_sizes
        blocks, popularity, quality, *context = tf.split(
            vectors, [sum(sizes[:facets]), *sizes[facets:]], axis=-1
        )
        shape = tf.concat([tf.shape(vectors)[:-1], [facets, self.model.facet_dim]], axis=0)
        return ItemParts(
            tf.reshape(blocks, shape), popularity, quality[..., 0], context[0] if context else None
        )


def columns(model: Ledger, facets: Sequence[int]) -> npt.NDArray[np.int64]:
    """Which numbers of the model's item vectors belong to one of the facets, or to none at all."""
    facet = np.arange(model.state_dim) // model.facet_dim
    return np.flatnonzero(np.isin(facet, facets) | (facet >= model.facets))


def strengths(user: LedgerUser, items: ItemParts, rows: Any, weights: StrengthWeights) -> Any:
    """Standardised strength of some items, see `tfrec.interest.strength_lines.strength_scores`.

    Arguments:
        items: parts [B, M, ...]. rows: the model's numbers of the items, int32 [B, M], none
            negative.

    Returns:
        float32 [B, M].
    """
    graded = tf.reduce_sum(user.events * user.grades[..., None, None], axis=1)  # [B, K, d]
    said = user.facets * weights.by_facet[:, None] + graded * weights.by_grade[:, None]
    return (
        weights.bias
        + weights.by_habit * user.habit[:, None]
        + tf.gather(weights.by_item, rows)
        + weights.by_crowd * tf.einsum("bw,bmw->bm", user.crowd, items.popularity)
        + tf.einsum("bkd,bmkd->bm", said, items.blocks)
        + tf.einsum("bd,bmd->bm", user.liking, tf.gather(weights.target_vectors, rows))
    )
