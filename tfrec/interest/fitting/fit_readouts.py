"""The last stage of training: the encoder stands still, the read-outs are fitted to validation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tfrec.data.cases import Cases
from tfrec.data.sequences import Bool, Float32, Sequences
from tfrec.data.splits import Split
from tfrec.data.strengths import grade_values
from tfrec.errors import UserError
from tfrec.interest.fitting.action_readout import (
    ActionReadout,
    action_features,
    fit_actions,
    item_rates,
)
from tfrec.interest.fitting.calibrators import blockwise_nll, fit_isotonic, fit_temperature
from tfrec.interest.fitting.engagement import fit_engagement, next_event_blocks
from tfrec.interest.fitting.held_out import HeldOut, held_out
from tfrec.interest.fitting.ordinal import fit_ordinal
from tfrec.interest.fitting.strength_link import StrengthLink, fit_strength_link
from tfrec.interest.reading import Catalogue
from tfrec.interest.readouts import GradeLink, Readouts, Strong
from tfrec.interest.strength_lines import StrengthWeights, strength_scores
from tfrec.interest.user_side import UserSide

Float64 = npt.NDArray[np.float64]

# Validation is cut, by users drawn at random, to so many scores: about 10 seconds.
MAX_SCORES = 1 << 25
MAX_CASES = 20_000
# "Liked": the upper fifth of the scale, 4 of 5 stars, 8 of 10.
STRONG_SHARE = 0.8
# Fewer events than this say nothing about a distribution over grades.
LEAST_EVENTS = 20
_CASES_PER_BLOCK = 512
_PAIRS_PER_BLOCK = 1 << 16


class Sides(NamedTuple):
    """What every line of the validation cases is a product of."""

    users: UserSide
    catalogue: Catalogue
    weights: StrengthWeights


class Asked(NamedTuple):
    """What the frozen model says of the validation cases.

    states, matrix: scores are their product, [N, S] and [I, S]. sides: None of a model without a
    ledger.
    """

    held: HeldOut
    states: Float32
    matrix: Float32
    sides: Sides | None

    def scores(self, cases: slice) -> Float32:
        """Of all items, [n, I]."""
        return np.asarray(self.states[cases] @ self.matrix.T)


def fit_readouts(model: Any, split: Split, keep_seen: bool = False, seed: int = 0) -> Readouts:
    """Fits every calibrator and link to the validation cases of a trained model.

    Test events are never looked at; what is counted on training events is how often each item is
    met by each action, and which grades the log knows. A link for which the log has nothing, or
    validation too little, is None in the result.

    Arguments:
        model: a trained `Ledger`; or another `SequenceModel`, which has neither strengths nor
            actions.
        split: what it was trained on.
        keep_seen: whether rankings keep items of the history, as in `EvaluationConfig`.
        seed: of the sampled pairs, and of the users when there are too many.

    Raises:
        UserError: the split has no validation cases, or the scores are not finite.

    Example:
        >>> fit_readouts(model, split).save(run)  # doctest: +SKIP
    """
    held = _some(
        held_out(split, "validation", seen_removed=not keep_seen), split.data.num_items, seed
    )
    if not len(held):
        raise UserError(
            "there are no validation cases to calibrate on: use another --split or more data"
        )
    asked = _ask(model, held)
    if not (np.isfinite(asked.states).all() and np.isfinite(asked.matrix).all()):
        raise UserError("the model gives scores that are not a number; its training diverged")
    cases, items = held.cases, split.data.num_items
    nll = blockwise_nll(lambda: next_event_blocks(asked.scores, cases, items, keep_seen))
    temperature = fit_temperature(nll)
    engagement = fit_engagement(asked.scores, cases, items, seed, keep_seen)
    if asked.sides is None:
        return Readouts(temperature, engagement)
    train = split.train()
    return Readouts(
        temperature,
        engagement,
        *_fit_strength(held, asked.sides, train),
        actions=_fit_actions(held, asked.sides, train, len(split.data.meta.actions)),
    )


def target_strengths(
    users: UserSide, catalogue: Catalogue, weights: StrengthWeights, cases: Cases
) -> Float32:
    """Standardised strength of every target of every case, [T]; `users` are the cases' own."""
    owners, targets = cases.target_cases(), cases.targets[:, None]
    parts = [
        strength_scores(users.take(owners[block]), catalogue, weights, targets[block])[:, 0]
        for block in _blocks(len(targets))
    ]
    return np.concatenate(parts)


def strong_threshold(strengths: Float32, grades: Float64 | None) -> float:
    """From where on a strength counts as strong: 80 % of the scale when strengths are grades
    (4 of 5, 8 of 10; the scale begins at 0 unless a grade lies below), else the 80th percentile.

    Example:
        >>> strong_threshold(np.ones(1, np.float32), np.arange(1.0, 6.0))
        4.0
    """
    if grades is None:
        return float(np.quantile(strengths[~np.isnan(strengths)].astype(np.float64), STRONG_SHARE))
    begin = min(0.0, float(grades[0]))
    return begin + STRONG_SHARE * (float(grades[-1]) - begin)


def _some(held: HeldOut, num_items: int, seed: int) -> HeldOut:
    most = min(MAX_CASES, max(1, MAX_SCORES // num_items))
    if len(held) <= most:
        return held
    return held.take(np.sort(np.random.default_rng(seed).permutation(len(held))[:most]))


def _ask(model: Any, held: HeldOut) -> Asked:
    from tfrec.evaluation.model_ranking import ModelRanker
    from tfrec.interest.reading import LedgerReader, matrix
    from tfrec.models.ledger import Ledger

    if not isinstance(model, Ledger):
        states = ModelRanker(model).states(held.cases)
        return Asked(held, states, np.asarray(model.item_matrix()), None)
    reader = LedgerReader(model)
    all_states, all_users = [], []
    # A reading holds a vector per event; what is kept of it holds one per user.
    for start in range(0, len(held), _CASES_PER_BLOCK):
        readings = reader.read(held.cases.take(slice(start, start + _CASES_PER_BLOCK)))
        all_states.append(readings.states())
        all_users.append(UserSide.of(readings))
    return Asked(
        held,
        np.concatenate(all_states),
        matrix(reader.catalogue),
        Sides(UserSide.concatenate(all_users), reader.catalogue, StrengthWeights.of(model)),
    )


def _fit_strength(
    held: HeldOut, sides: Sides, train: Sequences
) -> tuple[StrengthLink | None, GradeLink | None, Strong | None]:
    column = train.columns.strength
    if held.strengths is None or column is None:
        return None, None, None
    known: Bool = ~np.isnan(held.strengths)
    learned_from = np.asarray(column[train.event_rows()])
    if known.sum() < LEAST_EVENTS or np.isnan(learned_from).all():
        return None, None, None
    z = target_strengths(*sides, held.cases)[known]
    strengths = held.strengths[known]

    values = grade_values(learned_from)
    grades = None
    if values is not None and np.isin(strengths, values).all() and np.ptp(strengths) > 0:
        number = np.searchsorted(values, strengths)
        grades = GradeLink(values, fit_ordinal(z, number, len(values)))
    threshold = strong_threshold(learned_from, values)
    strong = Strong(threshold, fit_isotonic(z, strengths >= threshold))
    return fit_strength_link(z, strengths), grades, strong


def _fit_actions(
    held: HeldOut, sides: Sides, train: Sequences, num_actions: int
) -> ActionReadout | None:
    users, catalogue, weights = sides
    if num_actions < 2 or held.actions is None or len(held.actions) < LEAST_EVENTS:
        return None
    rates = item_rates(train, len(catalogue.blocks), num_actions)
    owners, targets = held.cases.target_cases(), held.cases.targets[:, None]
    features = [
        action_features(users.take(owners[block]), catalogue, weights, rates, targets[block])[:, 0]
        for block in _blocks(len(targets))
    ]
    return fit_actions(np.concatenate(features), held.actions, rates)


def _blocks(count: int) -> list[slice]:
    return [slice(n, n + _PAIRS_PER_BLOCK) for n in range(0, count, _PAIRS_PER_BLOCK)]
