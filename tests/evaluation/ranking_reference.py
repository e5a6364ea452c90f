"""The definitions written as slowly and plainly as possible, to hold the fast code against.

Nothing here is shared with tfrec.evaluation: lists, loops and sorted().
"""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from tfrec.data.cases import Cases
from tfrec.data.sequences import Columns, Sequences


def make_cases(histories: list[list[int]], targets: list[list[int]]) -> Cases:
    items = [item for history in histories for item in history]
    stops = np.cumsum([len(history) for history in histories], dtype=np.int64)
    lengths = np.array([len(history) for history in histories], np.int64)
    log = Columns(np.array(items, np.int32), np.arange(len(items), dtype=np.int64))
    users = np.arange(len(histories), dtype=np.int32) + 100
    return Cases(
        Sequences(users, stops - lengths, stops, log),
        np.array([item for case in targets for item in case], np.int32),
        np.concatenate([[0], np.cumsum([len(case) for case in targets])]).astype(np.int64),
        np.zeros(len(histories), np.int64),
    )


class FixedScores:
    """Scores of the cases that `make_cases` made, looked up by user."""

    name = "fixed scores"

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores

    def score(self, cases: Cases) -> np.ndarray:
        return self.scores[cases.histories.users - 100]


def ordered_list(scores: list[float], forbidden: list[int], place: list[int]) -> list[int]:
    """All items that may be recommended, best first."""
    allowed = [item for item in range(len(scores)) if item not in forbidden]
    return sorted(allowed, key=lambda item: (-scores[item], place[item]))


def metrics_of_list(ordered: list[int], targets: list[int], k: int) -> dict[str, float]:
    """Textbook definitions, walking down one full list."""
    hits, dcg, precisions, first = 0, 0.0, 0.0, None
    for index, item in enumerate(ordered):
        rank = index + 1
        if item not in targets:
            continue
        if first is None:
            first = rank
        if rank <= k:
            hits += 1
            dcg += 1 / math.log2(rank + 1)
            precisions += hits / rank
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(targets)) + 1))
    precision, recall = hits / k, hits / len(targets)
    return {
        f"hit_rate@{k}": 1.0 if hits else 0.0,
        f"ndcg@{k}": dcg / ideal,
        f"mrr@{k}": 1 / first if first is not None and first <= k else 0.0,
        f"map@{k}": precisions / min(k, len(targets)),
        f"precision@{k}": precision,
        f"recall@{k}": recall,
        f"f1@{k}": 2 * precision * recall / (precision + recall) if hits else 0.0,
        "mrr": 1 / first if first is not None else 0.0,
    }


# Few distinct values, so that most cases are full of ties; both zeros, both infinities and the
# smallest float beside them.
TIED = st.sampled_from([-math.inf, -1.5, -1e-45, -0.0, 0.0, 1e-45, 0.5, 3.0, math.inf])
ANY_FLOAT = st.floats(width=32, allow_nan=False)


@st.composite
def ranking_problems(draw: st.DrawFn) -> tuple[np.ndarray, list[list[int]], list[list[int]]]:
    """Scores [N, num_items], histories and targets that do not overlap."""
    num_items = draw(st.integers(2, 40))
    histories, targets = [], []
    for _ in range(draw(st.integers(1, 5))):
        shuffled = draw(st.permutations(range(num_items)))
        num_targets = draw(st.integers(1, min(6, num_items)))
        targets.append(list(shuffled[:num_targets]))
        seen = shuffled[num_targets:]
        history = list(seen[: draw(st.integers(0, len(seen)))])
        # People come back: a history may hold an item twice.
        histories.append(history + history[: draw(st.integers(0, 2))])
    values = draw(st.sampled_from([TIED, ANY_FLOAT]))
    row = st.lists(values, min_size=num_items, max_size=num_items)
    return np.array([draw(row) for _ in histories], np.float32), histories, targets
