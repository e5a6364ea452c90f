"""A trained ledger asked about users: the parts of every line at request time, as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tfrec.console import import_tensorflow
from tfrec.data.cases import Cases
from tfrec.data.sequences import Bool, Float32, Int32, Int64, Sequences, ragged_index
from tfrec.data.tokens import Tokens, event_tokens

if TYPE_CHECKING:
    from tfrec.models.ledger import Ledger

_USERS_PER_BATCH = 32
# Compiling takes as long as a few hundred users do without it.
_WORTH_COMPILING = 8 * _USERS_PER_BATCH


@dataclass(frozen=True)
class Catalogue:
    """What the lines of the I items are made of.

    Attributes:
        blocks: õ_fi, centred over the catalogue, [I, K, d].
        quality: β_i, [I].
        popularity: lp_i by period, [W, I].
        context: õ_r,i, [I, d], or None when the model has no residual line.
    """

    blocks: Float32
    quality: Float32
    popularity: Float32
    context: Float32 | None


@dataclass(frozen=True)
class Readings:
    """N users, each at one request time, with up to L events, the newest in the last column.

    Attributes:
        items: int32 [N, L], -1 pads; what a user said stands behind the items, as in `Texts`.
        times: int64 [N, L], unix milliseconds.
        weights: a_fs ≥ 0, [N, K, L]; 0 on padding.
        values: v_fs, [N, L, K, d].
        gates: g_f in (0, 2), [N, K].
        conformity: κ ≥ 0, [N].
        period: one-hot of the period of the request, [N, W].
        context: [N, d], or None when the model has no residual line.
        grades: how far the events' standardised strengths lie above what their items get and the
            user gives, e_s − habit; 0 where there is none, [N, L].
        habit: the user's own level, shrunken mean of e_s, [N].
        liking: what each event adds to the user's liking vector, 0 on padding, [N, L, 16]; see
            `tfrec.models.strength_readout`.

    Example:
        >>> reader = LedgerReader(model)                        # doctest: +SKIP
        >>> readings = reader.read(split.cases("test"))         # doctest: +SKIP
        >>> readings.scores(reader.catalogue).shape             # doctest: +SKIP
        (6040, 3416)
    """

    items: Int32
    times: Int64
    weights: Float32
    values: Float32
    gates: Float32
    conformity: Float32
    period: Float32
    context: Float32 | None
    grades: Float32
    habit: Float32
    liking: Float32

    def __len__(self) -> int:
        return len(self.items)

    @property
    def real(self) -> Bool:
        """True where there is an event, [N, L]."""
        return self.items >= 0

    def take(self, rows: slice | Int64) -> Readings:
        """The chosen users, in the chosen order."""
        chosen: dict[str, Any] = {}
        for field in fields(self):
            column = getattr(self, field.name)
            chosen[field.name] = None if column is None else column[rows]
        return Readings(**chosen)

    def with_gains(
        self,
        facet_gain: Float32 | float = 1.0,
        event_gain: Float32 | float = 1.0,
        conformity_gain: Float32 | float = 1.0,
    ) -> Readings:
        """The same users with lines made louder, softer or silent.

        A gain γ on facet f changes every score by (γ − 1)·c_f. The weights stay as they are
        ("frozen"): an event gain of 0 takes the event's lines out and does not ask what the encoder
        would have made of a history without it.

        Arguments:
            facet_gain: [K] or [N, K]. event_gain: [L] or [N, L]. conformity_gain: scalar or [N].
        """
        gates = self.gates * np.broadcast_to(np.asarray(facet_gain, np.float32), self.gates.shape)
        events = np.broadcast_to(np.asarray(event_gain, np.float32), self.items.shape)
        return replace(
            self,
            gates=gates,
            weights=self.weights * events[:, None, :],
            liking=self.liking * events[..., None],
            conformity=self.conformity * np.asarray(conformity_gain, np.float32),
        )

    def facets(self) -> Float32:
        """Facet vectors u_f = g_f Σ_s a_fs v_fs, [N, K, d]."""
        read = np.einsum("nkl,nlkd->nkd", self.weights, self.values, optimize=True)
        return np.asarray(read * self.gates[..., None], np.float32)

    def states(self) -> Float32:
        """The concatenated state whose dot product with `matrix` is the score, [N, S]."""
        facets = self.facets()
        parts = [
            facets.reshape(len(self), facets.shape[1] * facets.shape[2]),
            self.conformity[:, None] * self.period,
            np.ones((len(self), 1), np.float32),
        ]
        if self.context is not None:
            parts.append(self.context)
        return np.concatenate(parts, axis=1)

    def scores(self, catalogue: Catalogue) -> Float32:
        """s(u, i, t) for every item, [N, I]."""
        return self.states() @ matrix(catalogue).T

    def facet_scores(self, catalogue: Catalogue, items: Int32) -> Float32:
        """Σ_s c_fs(i) of some items per user: int [N, M] -> [N, M, K]."""
        return np.asarray(
            np.einsum("nkd,nmkd->nmk", self.facets(), catalogue.blocks[items], optimize=True)
        )

    def contributions(self, catalogue: Catalogue, items: Int32) -> Float32:
        """Every event's line c_fs(i): int [N, M] -> [N, M, L, K]."""
        lines = np.einsum(
            "nk,nkl,nlkd,nmkd->nmlk",
            self.gates,
            self.weights,
            self.values,
            catalogue.blocks[items],
            optimize=True,
        )
        return np.asarray(lines, np.float32)

    def quality_line(self, catalogue: Catalogue, items: Int32) -> Float32:
        """β_i, [N, M]."""
        return catalogue.quality[items]

    def conformity_line(self, catalogue: Catalogue, items: Int32) -> Float32:
        """κ·lp_i(t), [N, M]."""
        popularity = self.period @ catalogue.popularity  # [N, I]
        return self.conformity[:, None] * np.take_along_axis(popularity, items, axis=1)

    def context_line(self, catalogue: Catalogue, items: Int32) -> Float32:
        """r(u, i, t), zeros without a residual, [N, M]."""
        if self.context is None or catalogue.context is None:
            return np.zeros(items.shape, np.float32)
        return np.asarray(np.einsum("nd,nmd->nm", self.context, catalogue.context[items]))


def matrix(catalogue: Catalogue) -> Float32:
    """The concatenated item vectors, [I, S], see `Readings.states`."""
    items = len(catalogue.quality)
    parts = [
        catalogue.blocks.reshape(items, -1),
        catalogue.popularity.T,
        catalogue.quality[:, None],
    ]
    if catalogue.context is not None:
        parts.append(catalogue.context)
    return np.concatenate(parts, axis=1)


class LedgerReader:
    """Reads users with a trained `Ledger`.

    Arguments:
        model: built, with its trained weights.

    Attributes:
        model: the same.
        catalogue: the items' side of every line.
    """

    def __init__(self, model: Ledger) -> None:
        tf = import_tensorflow()
        self.model = model
        side = model.item_side(model.tower())
        parts: Any = (None if part is None else np.asarray(part, np.float32) for part in side)
        self.catalogue = Catalogue(*parts)
        self._read = tf.function(newest(model), autograph=False)
        self._read_many = tf.function(newest(model), jit_compile=True, autograph=False)

    def told(self, histories: Sequences, request_times: Int64) -> Sequences:
        """The histories as they are read, with the profiles of their users in front."""
        users = self.model.user_texts
        if users is None:
            return histories
        return users.told(histories, request_times, self.model.max_length)

    def read(self, cases: Cases) -> Readings:
        """Every case's history, asked at its request time. A history keeps its newest events."""
        return self.read_at(cases.histories, cases.request_times)

    def read_at(self, histories: Sequences, request_times: Int64) -> Readings:
        """Histories asked at the given unix milliseconds, [N]."""
        parts = list(self._batches(histories, request_times))
        columns: list[Any] = [
            None if column[0] is None else np.concatenate(column)
            for column in zip(*parts, strict=True)
        ]
        return Readings(*columns)

    def read_tokens(self, tokens: Tokens) -> Readings:
        """One history per row with its newest event in the last column, see `event_tokens`."""
        count = len(tokens["items"])
        missing = -count % _USERS_PER_BATCH
        padded = {
            name: np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
            for name, array in tokens.items()
        }
        read = self._read_many if count > _WORTH_COMPILING else self._read
        parts = []
        for start in range(0, count + missing, _USERS_PER_BATCH):
            block = {n: array[start : start + _USERS_PER_BATCH] for n, array in padded.items()}
            answer = read(block)
            parts.append([None if x is None else x.numpy() for x in answer])
        columns: Any = [
            None if c[0] is None else np.concatenate(c)[:count] for c in zip(*parts, strict=True)
        ]
        return Readings(tokens["items"], tokens["times"], *columns)

    def tokens(self, histories: Sequences, request_times: Int64) -> Tokens:
        """What `read_at` shows the model: one history per row, the newest event last."""
        length = self.model.max_length
        cut = self.told(histories, request_times).last(length)
        lengths = cut.lengths
        rows = cut.event_rows()
        first = np.arange(len(cut)) * length + length - lengths
        asked = np.repeat(np.asarray(request_times, np.int64), lengths)
        tokens = event_tokens(
            cut.columns,
            rows,
            np.ones(len(rows), np.int64),
            np.repeat(np.cumsum(lengths), lengths) - 1 - np.arange(len(rows)),
            asked,
            ragged_index(first, lengths),
            (len(cut), length),
        )
        # A user without events is asked too.
        tokens["segments"][:, -1] = 1
        tokens["request_times"][:, -1] = request_times
        return tokens

    def _batches(self, histories: Sequences, request_times: Int64) -> Iterator[list[Any]]:
        for start in range(0, max(len(histories), 1), 64 * _USERS_PER_BATCH):
            block = slice(start, start + 64 * _USERS_PER_BATCH)
            told = self.told(histories.take(block), request_times[block])
            readings = self.read_tokens(self.tokens(told, request_times[block]))
            # The model numbers texts row by row.
            readings = replace(readings, items=told.padded_items(self.model.max_length))
            yield [getattr(readings, field.name) for field in fields(readings)]


def newest(model: Ledger, table: Any = None) -> Any:
    """tokens -> the parts of the ledger at the last column, in the order of `Readings`.

    Arguments:
        table: of the items' embeddings, see `Ledger.read`.
    """

    def read(tokens: dict[str, Any]) -> tuple[Any, ...]:
        tf = import_tensorflow()
        reading = model.read(tokens, training=False, table=table)

        def number(x: Any) -> Any:
            return None if x is None else tf.cast(x, tf.float32)

        return (
            number(reading.weights[:, :, -1, :]),
            number(reading.values),
            number(reading.gates[:, -1]),
            number(reading.conformity[:, -1]),
            number(reading.period[:, -1]),
            None if reading.context is None else number(reading.context[:, -1]),
            number(reading.grades - reading.rated * reading.habit[:, -1:]),
            number(reading.habit[:, -1]),
            model.strength.newest_liking(
                tokens["items"], reading.grades, reading.habit, reading.known
            ),
        )

    return read
