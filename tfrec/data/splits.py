"""Splits: which events a model may learn from, and what it is asked about the rest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from tfrec.atomic import write_text
from tfrec.data.cases import Cases
from tfrec.data.options import SplitConfig
from tfrec.data.prepared import PreparedData
from tfrec.data.sequences import Sequences
from tfrec.data.split_cases import build_cases, train_sequences
from tfrec.data.split_labels import LEFT_OUT, TEST, TRAIN, VALIDATION, Labels, label_events
from tfrec.errors import UserError

Subset = Literal["validation", "test"]

LABEL_FILE = "split.npy"
SPLIT_FILE = "split.json"
_CHUNK = 1 << 20
_LABEL_NAMES = {
    TRAIN: "train events",
    VALIDATION: "validation events",
    TEST: "test events",
    LEFT_OUT: "events left out",
}


@dataclass(frozen=True, eq=False)
class Split:
    """A log cut into training events and evaluation cases.

    Attributes:
        data: the prepared log.
        config: what was asked for.
        seed: of the protocols that draw at random (cold-items, intervened).
        label: int8 [E]: 0 train, 1 validation, 2 test, 3 left out of all three.

    Example:
        >>> split = make_split(data, SplitConfig(), seed=0)      # doctest: +SKIP
        >>> split.train(), split.cases("test"), split.describe() # doctest: +SKIP
    """

    data: PreparedData
    config: SplitConfig
    seed: int
    label: Labels
    _built: dict[tuple[Subset, bool], tuple[Cases, dict[str, int]]] = field(
        default_factory=dict, repr=False
    )

    @property
    def protocol(self) -> str:
        return self.config.split

    def train(self) -> Sequences:
        """The training events of every user who has any, oldest first."""
        return train_sequences(self.data, self.label, self.protocol)

    def cases(self, subset: Subset, *, seen_removed: bool = True) -> Cases:
        """What validation or test asks, one case per user who has something held out.

        Arguments:
            subset: "validation" or "test". Test histories include the validation events.
            seen_removed: the ranking will leave out items of the history, so a target that is in
                its own history could never be found. True drops such targets and the cases that
                they leave empty; `case_counts` says how many.
        """
        return self._cases(subset, seen_removed)[0]

    def case_counts(self, subset: Subset, *, seen_removed: bool = True) -> dict[str, int]:
        """How many cases and targets `cases` gives, and how many it dropped and why."""
        return dict(self._cases(subset, seen_removed)[1])

    @cached_property
    def hash(self) -> str:
        """Names the split: equal for the same label on the same item of the same user, in order."""
        digest = hashlib.sha256(self.protocol.encode())
        for column in (self.label, self.data.columns.item, self.data.user_offsets):
            for start in range(0, len(column), _CHUNK):
                digest.update(np.ascontiguousarray(column[start : start + _CHUNK]).tobytes())
        return digest.hexdigest()[:8]

    @cached_property
    def counts(self) -> dict[str, int]:
        """Events per label, then cases, targets and what was dropped, seen items removed."""
        per_label = np.bincount(self.label, minlength=len(_LABEL_NAMES))
        counts = {name: int(per_label[label]) for label, name in _LABEL_NAMES.items()}
        counts["train users"] = len(self.train())
        subsets: tuple[Subset, ...] = ("validation", "test")
        for subset in subsets:
            for name, count in self.case_counts(subset).items():
                counts[f"{subset} {name}"] = count
        return counts

    def describe(self) -> str:
        """One phrase for the protocol line: "leave-one-out, split a1b2c3d4"."""
        return f"{self.protocol}{self._fractions()}, split {self.hash}"

    def save(self, folder: Path) -> None:
        """Writes split.npy (the labels) and split.json (all else) into a run folder."""
        np.save(folder / LABEL_FILE, self.label)
        about = {
            "config": asdict(self.config),
            "seed": self.seed,
            "hash": self.hash,
            "counts": self.counts,
        }
        # Last and whole: where it stands, the split is complete.
        write_text(folder / SPLIT_FILE, json.dumps(about, indent=1))

    def _cases(self, subset: Subset, seen_removed: bool) -> tuple[Cases, dict[str, int]]:
        key = (subset, seen_removed)
        if key not in self._built:
            self._built[key] = build_cases(
                self.data,
                self.label,
                self.protocol,
                target_label=VALIDATION if subset == "validation" else TEST,
                min_history=self.config.min_history,
                seen_removed=seen_removed,
            )
        return self._built[key]

    def _fractions(self) -> str:
        if self.protocol == "leave-one-out":
            return ""
        held = (self.config.split_validation, self.config.split_test)
        return " " + "/".join(f"{100 * part:.3g}" for part in (1 - sum(held), *held))


def make_split(data: PreparedData, config: SplitConfig, seed: int) -> Split:
    """Cuts a prepared log. The same data, config and seed give the same split, bit for bit.

    Raises:
        UserError: an option is out of range, or the protocol leaves nothing to train or test on.
    """
    _check(config)
    if not data.num_events:
        raise UserError(f"{data.folder} holds no events, so there is nothing to split")
    label = label_events(
        data, config.split, config.split_validation, config.split_test, np.random.default_rng(seed)
    )
    held_out = np.bincount(label, minlength=len(_LABEL_NAMES))
    for part in (TRAIN, VALIDATION, TEST):
        if not held_out[part]:
            raise UserError(
                f"the {config.split} split of {data.folder} leaves no {_LABEL_NAMES[part]} "
                f"({data.num_events:,} events, {data.num_users:,} users). Use another --split, "
                "other shares (--split-validation, --split-test) or more data"
            )
    return Split(data, config, seed, label)


def load_split(folder: Path, data: PreparedData) -> Split:
    """The split that `Split.save` wrote.

    Raises:
        UserError: the files are missing or damaged, or belong to other data.
    """
    path = folder / SPLIT_FILE
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        split = Split(
            data, SplitConfig(**about["config"]), about["seed"], np.load(folder / LABEL_FILE)
        )
        expected = about["hash"]
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing: {folder} holds no complete split") from None
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise UserError(f"the split in {folder} is damaged ({error}). Train again") from None
    if split.label.shape != (data.num_events,) or split.hash != expected:
        raise UserError(
            f"{path} is the split {expected} of other data than {data.folder}. Point to the folder "
            "that the run was trained on, or prepare it again with the same options"
        )
    return split


def _check(config: SplitConfig) -> None:
    for name in ("split_validation", "split_test"):
        share = getattr(config, name)
        if not 0 < share < 1:
            raise UserError(f"--{name.replace('_', '-')} is {share}, expected between 0 and 1")
    if config.split_validation + config.split_test >= 1:
        raise UserError(
            f"--split-validation {config.split_validation} and --split-test {config.split_test} "
            "leave nothing to train on: together they must stay below 1"
        )
    if config.min_history < 0:
        raise UserError(f"--min-history is {config.min_history}, expected 0 or more")
