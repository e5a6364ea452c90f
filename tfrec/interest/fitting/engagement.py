"""Probability of engagement from a score: which pairs it is fitted on, and what it then means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from tfrec.data.cases import Cases
from tfrec.data.sequences import Bool, Float32, ragged_index
from tfrec.interest.fitting.calibrators import Isotonic, Platt, fit_isotonic, fit_platt

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]
# Rows of scores, float32 [n, I], of the cases with these numbers.
Scores = Callable[[slice], Float32]

NEGATIVES_PER_POSITIVE = 20
# With fewer positives a Platt line is nearer the truth than a free curve (Niculescu-Mizil &
# Caruana, "Predicting good probabilities with supervised learning", ICML 2005, section 5).
LEAST_FOR_ISOTONIC = 1000
_CELLS_PER_BLOCK = 1 << 22


@dataclass(frozen=True, eq=False)
class Engagement:
    """Calibrated P(engaged) of a pair of user and item, from its score alone.

    What it is a probability of: take a user who has a validation case, at its request time, and
    one of the items that are not in the user's history (of all items, if rankings keep those of the
    history too). p is the chance that this item is among
    what validation holds out of the user. Under leave-one-out that is "the user's next event, and
    there is one, is this item"; under splits by time it is "the user takes the item in the
    validation period", `events_per_case` items on average. Users without a validation case (they
    stopped coming) were not asked, so this is not the chance that a user comes at all; nor is it
    the chance that an item that is *shown* is taken: logs without exposures do not say what was
    shown. For a list in which a known share is taken, `apply` moves the prior there.

    Attributes:
        platt: a line through the log odds.
        isotonic: a rising curve, used where it is not None.
        prior: share of engaged pairs among all pairs, in (0, 1).
        events_per_case: held-out items per user.
    """

    platt: Platt
    isotonic: Isotonic | None
    prior: float
    events_per_case: float

    def apply(self, scores: Floats, prior: float | None = None) -> Float64:
        """P(engaged), float64 of the shape of `scores`; rises with the score.

        Arguments:
            scores: the ranking score s(u, i, t).
            prior: share of taken items among the candidates, if it is not the fitted one; log
                odds move by the difference of log odds of the priors (Saerens, Latinne &
                Decaestecker, Neural Computation 2002, eq. 2.4).
        """
        probability = (self.isotonic or self.platt).apply(scores)
        if prior is None:
            return probability
        if not 0 < prior < 1:
            raise ValueError(f"prior must be between 0 and 1, got {prior}")
        return with_odds(probability, prior / (1 - prior) * (1 - self.prior) / self.prior)

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Arrays for `np.savez`."""
        curve = {} if self.isotonic is None else self.isotonic.to_arrays()
        about = {"pairs": np.array([self.prior, self.events_per_case])}
        return {**self.platt.to_arrays(), **curve, **about}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """From what `to_arrays` gave; KeyError if a name is missing."""
        prior, events = arrays["pairs"].astype(np.float64)
        curve = Isotonic.from_arrays(arrays) if "isotonic_x" in arrays else None
        return cls(Platt.from_arrays(arrays), curve, float(prior), float(events))


class Pairs(NamedTuple):
    """scores, taken: [P]; all positives and a share `rate` of the negatives. prior: of all."""

    scores: Float32
    taken: Bool
    rate: float
    prior: float


def with_odds(probabilities: Float64, factor: float) -> Float64:
    """Probabilities whose odds p / (1 - p) are `factor` times as high.

    Example:
        >>> with_odds(np.array([0.5, 0.75]), 3.0).tolist()
        [0.75, 0.9]
    """
    return np.asarray(factor * probabilities / (factor * probabilities + (1 - probabilities)))


def fit_engagement(
    scores: Scores, cases: Cases, num_items: int, seed: int, keep_seen: bool = False
) -> Engagement:
    """Fits on all held-out pairs and a sample of the others, then takes the sampling back.

    Positives are the targets; negatives are drawn from all items that are neither in the user's
    history (unless `keep_seen`) nor a target, each pair with the same chance `rate`. Sampling
    multiplies the odds of being positive by 1 / rate at every score, so multiplying them by `rate`
    undoes it.
    """
    pairs = sample_pairs(scores, cases, num_items, np.random.default_rng(seed), keep_seen)
    platt = fit_platt(pairs.scores, pairs.taken)
    curve = None
    if pairs.taken.sum() >= LEAST_FOR_ISOTONIC:
        fitted = fit_isotonic(pairs.scores, pairs.taken)
        curve = Isotonic(fitted.knots_x, with_odds(fitted.knots_y, pairs.rate))
    return Engagement(
        Platt(platt.slope, platt.offset + float(np.log(pairs.rate))),
        curve,
        pairs.prior,
        len(cases.targets) / len(cases),
    )


def sample_pairs(
    scores: Scores,
    cases: Cases,
    num_items: int,
    random: np.random.Generator,
    keep_seen: bool = False,
) -> Pairs:
    """Scores of every target and of about 20 untaken, unseen items for each of them."""
    taken, drawn = [], []
    unseen = sum(int((~mask).sum()) for _, mask in seen_masks(cases, num_items, keep_seen))
    positives = 0
    rate = min(1.0, NEGATIVES_PER_POSITIVE * len(cases.targets) / unseen)
    for block, seen in seen_masks(cases, num_items, keep_seen):
        rows = scores(block)
        part = cases.take(block)
        # A target that the user has seen before is no question here: it is ranked nowhere.
        mine = np.zeros(seen.shape, bool)
        mine[part.target_cases(), part.targets] = True
        mine &= ~seen
        positives += int(mine.sum())
        taken.append(rows[mine])
        drawn.append(rows[(random.random(seen.shape, np.float32) < rate) & ~seen & ~mine])
    count = sum(len(part) for part in taken)
    values = np.concatenate(taken + drawn)
    return Pairs(values, np.arange(len(values)) < count, rate, positives / unseen)


def next_event_blocks(
    scores: Scores, cases: Cases, num_items: int, keep_seen: bool
) -> Iterator[tuple[Float32, npt.NDArray[np.int64]]]:
    """Logits [n, I], -inf for items of the history unless `keep_seen`, and each case's first
    target [n]: what the softmax over the catalogue is fitted on."""
    first = cases.targets[cases.target_offsets[:-1]].astype(np.int64)
    for block, seen in seen_masks(cases, num_items, keep_seen):
        logits, target = scores(block), first[block]
        seen[np.arange(len(target)), target] = False
        yield np.where(seen, np.float32(-np.inf), logits), target


def seen_masks(
    cases: Cases, num_items: int, keep_seen: bool = False
) -> Iterator[tuple[slice, Bool]]:
    """Cases in blocks that bound the memory: which, and True where an item is in the history;
    False everywhere if `keep_seen`."""
    step = max(1, _CELLS_PER_BLOCK // num_items)
    for start in range(0, len(cases), step):
        block = slice(start, min(start + step, len(cases)))
        histories = cases.histories.take(block)
        seen = np.zeros((len(histories), num_items), bool)
        if keep_seen:
            yield block, seen
            continue
        rows = ragged_index(histories.starts, histories.lengths)
        users = np.repeat(np.arange(len(histories)), histories.lengths)
        seen[users, histories.columns.item[rows]] = True
        yield block, seen
