"""Where a model is good and where it is not: metrics of parts of the cases.

A slice is a choice of targets. A case counts in it with the chosen targets alone, at the ranks
that they had among all items; a case with none of them is not in the slice. With one target per
case this is simply a choice of cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tfrec.data.cases import Cases
from tfrec.data.sequences import Bool, Int64
from tfrec.evaluation.beyond_accuracy import HEAD_SHARE, Counts, head
from tfrec.evaluation.intervals import intervals
from tfrec.evaluation.metrics import accuracy
from tfrec.evaluation.ranking import Ranking
from tfrec.evaluation.results import SliceRow

# Upper ends of the groups of history length, in events.
_LENGTHS = (0, 5, 20, 50, 200)
# Share of training events that the most popular items of all hold.
_TOP_SHARE = 0.5


def slices(
    ranking: Ranking, cases: Cases, item_counts: Counts, ks: Sequence[int], seed: int
) -> dict[str, list[SliceRow]]:
    """hit_rate@k and ndcg@k with intervals, by history length, item popularity and novelty.

    "history length": events in the history. "target popularity": "head" are the most popular
    items that hold half of the training events, "mid" those that hold the next 30 %, "tail" the
    rest that has any (so tail and new items together are the long tail of `long_tail_share`).
    "new items": whether the target has a training event at all; left out when all have.

    Arguments:
        item_counts: training events per catalogue item, [num_items].
        ks, seed: as for `accuracy` and `intervals`.

    Returns:
        slice name -> rows; a row without cases is left out.
    """
    lengths = cases.histories.lengths[cases.target_cases()]  # [T]
    counts = item_counts[cases.targets]  # [T]
    top, popular = head(item_counts, _TOP_SHARE)[cases.targets], head(item_counts)[cases.targets]
    groups: dict[str, dict[str, Bool]] = {
        "history length": _length_groups(lengths),
        "target popularity": {
            f"head ({_percent(_TOP_SHARE)} of events)": top,
            f"mid ({_percent(HEAD_SHARE - _TOP_SHARE)})": popular & ~top,
            f"tail ({_percent(1 - HEAD_SHARE)})": ~popular & (counts > 0),
        },
    }
    if (counts == 0).any():
        groups["new items"] = {"new": counts == 0, "in training": counts > 0}
    return {
        name: [
            slice_row(label, chosen, ranking, cases, ks, seed)
            for label, chosen in rows.items()
            if chosen.any()
        ]
        for name, rows in groups.items()
    }


def _percent(share: float) -> str:
    return f"{round(100 * share)} %"


def _length_groups(lengths: Int64) -> dict[str, Bool]:
    groups: dict[str, Bool] = {}
    below = -1
    for end in _LENGTHS:
        label = str(end) if below + 1 == end else f"{below + 1}-{end}"
        groups[label] = (lengths > below) & (lengths <= end)
        below = end
    groups[f">{below}"] = lengths > below
    return groups


def slice_row(
    label: str, chosen: Bool, ranking: Ranking, cases: Cases, ks: Sequence[int], seed: int
) -> SliceRow:
    """hit_rate@k and ndcg@k of the chosen targets, bool [T]."""
    part, rows = with_targets(cases, chosen)
    part_ranking = Ranking(ranking.target_ranks[chosen], ranking.top_items[rows])
    per_case = accuracy(part_ranking, part, ks)
    wanted = [f"{metric}@{k}" for k in ks for metric in ("hit_rate", "ndcg")]
    metrics = intervals({name: per_case[name] for name in wanted}, seed)
    return SliceRow(label, len(part), metrics)


def with_targets(cases: Cases, chosen: Bool) -> tuple[Cases, Int64]:
    """The cases that have one of the chosen targets, with these alone, and which cases they are."""
    per_case = np.bincount(cases.target_cases()[chosen], minlength=len(cases))
    rows = np.flatnonzero(per_case)
    part = replace(
        cases.take(rows),
        targets=cases.targets[chosen],
        target_offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(per_case[rows])]),
    )
    return part, rows
