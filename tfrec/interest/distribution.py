"""What a user wants overall: one distribution over the catalogue, and what it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Bool, Float32, Int32, Sequences
from tfrec.data.user_texts import of_items
from tfrec.interest.distribution_summary import category_mass, entropy, tail_mass
from tfrec.interest.fitting.calibrators import Temperature
from tfrec.interest.reranking import NO_ITEM

if TYPE_CHECKING:
    from tfrec.interest.reading import Catalogue, Readings

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]

# The lines after those of the K facets, in the order of `Distribution.line_mass`.
OTHER_LINES = ("quality", "crowd", "context")
_CELLS_PER_BLOCK = 2**21  # probabilities held at once


@dataclass(frozen=True)
class Distribution:
    """p(i | u, t) = softmax(s(u, i, t) / T) over the items that may come, for N users.

    Attributes:
        items: int32 [N, k], most probable first; -1 where fewer than k items may come. Of equally
            probable items the first of the catalogue comes first.
        log_probabilities: float64 [N, k]; -inf where there is no item.
        entropy: in nats, [N]; a user for whom no item may come has 0, and 0 in all that follows.
        tail_mass: probability of all items beyond these k, [N].
        category_mass: probability of each category, [N, C]; C = 0 if none were given.
        line_mass: Σ_i p_i · line(i), [N, K + 3]: what each line adds to the score of the item that
            this user is expected to take. The lines are c_f(i) = Σ_s c_fs(i) for each facet,
            then `OTHER_LINES`. Signed, and in the unit of the score, that is before T.
        line_weight: Σ_i p_i · |line(i)|, [N, K + 3].
    """

    items: Int32
    log_probabilities: Float64
    entropy: Float64
    tail_mass: Float64
    category_mass: Float64
    line_mass: Float64
    line_weight: Float64

    def __len__(self) -> int:
        return len(self.items)

    @property
    def probabilities(self) -> Float64:
        """float64 [N, k], falling; 0 where there is no item."""
        found: Float64 = np.exp(self.log_probabilities)
        return found

    @property
    def facet_mass(self) -> Float64:
        """M_f = Σ_i p_i c_f(i), [N, K].

        c_f is centred over the catalogue, so M_f is how much more the facet speaks for what this
        user is expected to take than for an item drawn blindly. It may be negative: then the
        other lines carry the user to items that the facet speaks against.
        """
        return self.line_mass[:, : -len(OTHER_LINES)]

    @property
    def line_shares(self) -> Float64:
        """Σ_i p_i |line(i)| of each line as a share of the sum over all lines, [N, K + 3]."""
        return _shares(self.line_weight)

    @property
    def facet_shares(self) -> Float64:
        """Σ_i p_i |c_f(i)| / Σ_g Σ_i p_i |c_g(i)|, [N, K]; zeros for an empty history.

        Which facet moves the scores of what this user is expected to take, be it up or down.
        """
        return _shares(self.line_weight[:, : -len(OTHER_LINES)])


def distribution(
    readings: Readings,
    catalogue: Catalogue,
    temperature: Temperature,
    top_k: int,
    item_categories: Floats | None = None,
    blocked: Bool | None = None,
    removed: Bool | Sequences | None = None,
    seen: bool = False,
) -> Distribution:
    """The distribution of every user over the catalogue, block by block of users.

    What may not come has probability exactly 0, and the rest is as if it had never been in the
    catalogue: softmax over what is left.

    Arguments:
        readings: N users.
        catalogue: of the same model.
        temperature: T, as fitted on validation cases.
        top_k: items to return per user, 1 … I.
        item_categories: [I, C], rows are shares that sum to 1, or to 0 for an item without any.
        blocked: bool [I], True = no user gets it, see `blocked_items`.
        removed: what single users do not get: bool [N, I], True = removed, or N sequences, whose
            items are removed (full histories, say, of which the readings may hold the end only).
        seen: removes the items of the events that the readings hold.

    Raises:
        ValueError: shapes do not fit, or top_k is out of range.

    Example:
        >>> readings = reader.read(split.cases("test"))                # doctest: +SKIP
        >>> found = distribution(readings, reader.catalogue, Temperature(1.1), top_k=10,
        ...                      seen=True)                            # doctest: +SKIP
        >>> found.items.shape, found.facet_mass.shape                  # doctest: +SKIP
        ((6040, 10), (6040, 4))
    """
    items = len(catalogue.quality)
    if not 1 <= top_k <= items:
        raise ValueError(f"top_k must be 1 … {items}, the number of items, got {top_k}")
    _check_masks(len(readings), items, blocked, removed)
    shares = np.zeros((items, 0)) if item_categories is None else item_categories
    parts = []
    for users, logs in _log_probabilities(readings, catalogue, temperature, blocked, removed, seen):
        top = _top(logs, top_k)
        top_logs = np.take_along_axis(logs, top, axis=1)
        mass, weight = _expected_lines(users, catalogue, np.exp(logs))
        parts.append(
            Distribution(
                np.where(np.isneginf(top_logs), NO_ITEM, top).astype(np.int32),
                top_logs,
                entropy(logs),
                tail_mass(logs, top_k),
                category_mass(logs, shares),
                mass,
                weight,
            )
        )
    return Distribution(
        *(np.concatenate([getattr(p, field.name) for p in parts]) for field in fields(Distribution))
    )


def _log_probabilities(
    readings: Readings,
    catalogue: Catalogue,
    temperature: Temperature,
    blocked: Bool | None,
    removed: Bool | Sequences | None,
    seen: bool,
) -> Iterator[tuple[Readings, Float64]]:
    """Some users at a time, and float64 [n, I]; -inf is an item that may not come."""
    from tfrec.interest.reading import matrix

    items = matrix(catalogue).T
    step = max(1, _CELLS_PER_BLOCK // items.shape[1])
    for start in range(0, max(len(readings), 1), step):
        rows = slice(start, start + step)
        users = readings.take(rows)
        logits = (users.states() @ items).astype(np.float64)
        if blocked is not None:
            logits[:, blocked] = -np.inf
        if isinstance(removed, Sequences):
            part = of_items(removed.take(rows))
            logits[np.repeat(np.arange(len(part)), part.lengths), part.items()] = -np.inf
        elif removed is not None:
            logits[removed[rows]] = -np.inf
        if seen:
            logits[np.nonzero(users.real)[0], users.items[users.real]] = -np.inf
        # A softmax over nothing is not defined.
        nothing = np.isneginf(logits).all(axis=1, keepdims=True)
        logs = temperature.apply(np.where(nothing, 0.0, logits))
        yield users, np.where(nothing, -np.inf, logs)


def _top(logs: Float64, k: int) -> npt.NDArray[np.int64]:
    """The k largest of each row, largest first, of equal ones the first; int64 [n, k]."""
    items = logs.shape[1]
    least = np.partition(logs, items - k, axis=1)[:, items - k, None]
    above, equal = logs > least, logs == least
    free = k - above.sum(axis=1, keepdims=True)
    kept = above | (equal & (np.cumsum(equal, axis=1) <= free))
    places = np.nonzero(kept)[1].reshape(len(logs), k)
    order = np.argsort(-np.take_along_axis(logs, places, axis=1), axis=1, kind="stable")
    return np.take_along_axis(places, order, axis=1)


def _expected_lines(
    users: Readings, catalogue: Catalogue, probabilities: Float64
) -> tuple[Float64, Float64]:
    """Σ_i p_i line(i) and Σ_i p_i |line(i)|, [n, K + 3] each."""
    mass, weight = [], []
    for line in _lines(users, catalogue):
        mass.append(np.einsum("ni,ni->n", probabilities, line))
        weight.append(np.einsum("ni,ni->n", probabilities, np.abs(line)))
    return np.stack(mass, axis=1), np.stack(weight, axis=1)


def _lines(users: Readings, catalogue: Catalogue) -> Iterator[Float32]:
    """Each line over the catalogue, [n, I]: one at a time, all would be K + 3 times the memory."""
    facets = users.facets()
    for facet in range(facets.shape[1]):
        yield facets[:, facet] @ catalogue.blocks[:, facet].T
    shape = (len(users), len(catalogue.quality))
    yield np.broadcast_to(catalogue.quality, shape)
    yield users.conformity[:, None] * (users.period @ catalogue.popularity)
    if users.context is None or catalogue.context is None:
        yield np.zeros(shape, np.float32)
    else:
        yield users.context @ catalogue.context.T


def _shares(weight: Float64) -> Float64:
    whole = weight.sum(axis=1, keepdims=True)
    shares: Float64 = np.divide(weight, whole, out=np.zeros_like(weight), where=whole > 0)
    return shares


def _check_masks(
    users: int, items: int, blocked: Bool | None, removed: Bool | Sequences | None
) -> None:
    if blocked is not None and (blocked.dtype != np.bool_ or blocked.shape != (items,)):
        raise ValueError(f"blocked must be bool ({items},), got {blocked.dtype} {blocked.shape}")
    if isinstance(removed, Sequences):
        if len(removed) != users:
            raise ValueError(f"removed must hold {users} sequences, got {len(removed)}")
    elif removed is not None and (removed.dtype != np.bool_ or removed.shape != (users, items)):
        raise ValueError(
            f"removed must be bool ({users}, {items}), got {removed.dtype} {removed.shape}"
        )
