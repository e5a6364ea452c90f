"""How recommendations are searched for: the options of the command line. Imports no TensorFlow."""

from __future__ import annotations

from typing import Any, NamedTuple

KINDS = ("exact", "ivf", "scann")
# Recall is that of the first so many items.
DEPTH = 10
SERVERS = {
    "ivf": "any TensorFlow Serving",
    "scann": "a TensorFlow Serving with ScaNN's operations, see the image in docker-compose.yaml",
}
PROBABILITIES = (
    "that the next item is this one, of all that the index compared and that may come; the "
    "probability of score is of the whole catalogue"
)


class IndexOptions(NamedTuple):
    """What is to be built.

    Attributes:
        kind: "exact" compares every item of the catalogue, "ivf" the items of some lists,
            "scann" likewise with operations that need a server of their own.
        lists: how many; None: four times the root of the number of items.
        probes: lists that a request reads; None: as few as reach `min_recall`.
        min_recall: recall@10 that is promised.
        int8_lists: whether the vectors in the lists of "ivf" lie as int8.
    """

    kind: str = "exact"
    lists: int | None = None
    probes: int | None = None
    min_recall: float = 0.95
    int8_lists: bool = False


EXACT = IndexOptions()


class IndexReport(NamedTuple):
    """What was built and how it did on real users of the log.

    Attributes:
        kind, lists, probes, int8_lists: see `IndexOptions`.
        users: how many were asked.
        depth: ten, or as many items as are recommended where those are fewer.
        recall: of so many items that exact search ranks first, the share found.
        next_recall: the same of the next ones, with those excluded.
        probability_factor: what recommended probabilities are of the exact ones: mean and largest.
    """

    kind: str
    int8_lists: bool
    lists: int
    probes: int
    users: int
    depth: int
    recall: float
    next_recall: float
    probability_factor: tuple[float, float]

    def sentence(self) -> str:
        """What was measured, for people."""
        mean, largest = self.probability_factor
        kind = f"{self.kind} in int8" if self.int8_lists else self.kind
        return (
            f"index {kind}: reads {self.probes:,} of {self.lists:,} lists; of {self.users:,} "
            f"users' {self.depth} best items it finds {self.recall:.1%}, of the next {self.depth} "
            f"{self.next_recall:.1%}; probabilities are {mean:.2f} times the exact ones on "
            f"average, at most {largest:.2f}"
        )

    def promises(self) -> dict[str, Any]:
        """The same for contract.json, and what the server must have."""
        mean, largest = self.probability_factor
        return {
            "kind": self.kind,
            "server": SERVERS[self.kind],
            "lists": self.lists,
            "probes": self.probes,
            "int8": self.int8_lists,
            "users asked": self.users,
            f"recall@{self.depth}": round(self.recall, 4),
            f"recall@{self.depth} with those excluded": round(self.next_recall, 4),
            "recommend's probabilities": PROBABILITIES,
            "recommended to exact probabilities": {"mean": mean, "largest": largest},
        }


class RecallError(Exception):
    """The index finds too few of the best items. The message says how few and what to do."""
