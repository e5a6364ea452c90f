"""A user of a ledger run at one request time: the history, its reading, what may be recommended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from tfrec.data.sequences import Bool, Int32, Int64, Sequences
from tfrec.errors import UserError
from tfrec.interest.asking.question import Question
from tfrec.interest.asking.tell import tell
from tfrec.interest.disentanglement import FacetReport, facet_reports
from tfrec.interest.explanation import explain
from tfrec.interest.fitting.calibrators import Temperature
from tfrec.interest.ledger_lines import LedgerLines
from tfrec.interest.reading import LedgerReader, Readings
from tfrec.models.build import category_names

if TYPE_CHECKING:
    import pyarrow

    from tfrec.data.prepared import PreparedData
    from tfrec.interest.asking.load import LedgerRun
    from tfrec.interest.readouts import Readouts

_COMPARED_IDS = 50_000  # ids that an unknown one is compared with


@dataclass(frozen=True)
class Asked:
    """One user at one time.

    Attributes:
        reader: of the run's model.
        data: the run's.
        user: id; "" for somebody new.
        history: one sequence, all events before the request.
        told: the same as it is read, with what the user said.
        time: of the request, unix milliseconds.
        readings: of that one history.
        reports: what each of the K facets is about.
        place: of each item among items of equal score, the smaller the better, [I].
        readouts: what scores are calibrated to; None if the run has none.
        keep_seen: whether items of the history may be recommended again, as in the run's rankings.
    """

    reader: LedgerReader
    data: PreparedData
    user: str
    history: Sequences
    told: Sequences
    time: int
    readings: Readings
    reports: Sequence[FacetReport]
    place: Int32
    readouts: Readouts | None
    keep_seen: bool

    @property
    def facets(self) -> list[str]:
        """K names."""
        return [report.name for report in self.reports]

    @property
    def timed(self) -> bool:
        """Whether the log has times; else the order of its rows stands in for them."""
        return self.data.meta.time_unit != "none"

    @property
    def temperature(self) -> Temperature:
        """Of the softmax over the catalogue; 1 without read-outs."""
        return Temperature(1.0) if self.readouts is None else self.readouts.temperature

    @property
    def times(self) -> Int64:
        """The time as an array, [1]."""
        return np.array([self.time], np.int64)

    @property
    def seen(self) -> Bool:
        """True for items that may not come again because the history holds them, [I]."""
        seen = np.zeros(self.data.num_items, bool)
        if not self.keep_seen:
            seen[self.history.items()] = True
        return seen

    def ledgers(self, items: Int32, readings: Readings | None = None) -> list[LedgerLines]:
        """One ledger per item, by readings with gains if they are given."""
        given = self.readings if readings is None else readings
        [found] = explain(
            self.reader, self.data, self.told, given, items[None], self.times, self.facets
        )
        return found

    def order(self, removed: Bool, readings: Readings | None = None) -> Int32:
        """The items that are not removed, best first."""
        given = self.readings if readings is None else readings
        scores = given.scores(self.reader.catalogue)[0]
        order = np.lexsort((self.place, -scores))
        return order[~removed[order]].astype(np.int32)


def ask(run: LedgerRun, question: Question) -> Asked:
    """Reads a user's history up to the time of a question.

    Raises:
        UserError: the user is not known, the time is none or the log has none, or the run does not
            read what the user says.
    """
    from tfrec.data.timestamps import parse_one
    from tfrec.evaluation.ranking import tie_order
    from tfrec.models.build import category_matrix

    data, at = run.data, question.at
    if at is None:
        time = int(data.columns.timestamp.max()) + 1
    elif data.meta.time_unit == "none":
        raise UserError(f"--at {at}: the log has no times; leave --at out")
    else:
        time = parse_one(at, "--at")
    everybody = data.sequences()
    if question.user is None:
        history = replace(everybody.take(np.array([0])), stops=everybody.starts[:1])
    else:
        row = place_of("user", question.user, data.users["user_id"])
        history = _before(everybody.take(np.array([row])), time)
    reader = run.reader
    told = tell(run, history, time, question)
    readings = reader.read_at(told, np.array([time], np.int64))
    reports = facet_reports(reader, category_matrix(data), category_names(data))
    place = tie_order(data.num_items, run.config.training.seed)
    keep_seen = run.config.evaluation.keep_seen
    return Asked(
        reader,
        data,
        question.user or "",
        history,
        told,
        time,
        readings,
        reports,
        place,
        run.readouts,
        keep_seen,
    )


def place_of(what: str, name: str, column: pyarrow.ChunkedArray) -> int:
    """Row of an id in the users or the catalogue.

    Raises:
        UserError: it is not there; the message names ids that look like it.
    """
    import pyarrow.compute as pc

    row = pc.index(column, name).as_py()
    if row >= 0:
        return int(row)
    some = column.slice(0, _COMPARED_IDS).to_pylist()
    close = get_close_matches(name, some, n=3, cutoff=0.0)
    raise UserError(
        f"{what} {name!r} is not in the log; it has {', '.join(map(repr, close))} "
        f"and {len(column) - len(close):,} more"
    )


def _before(sequence: Sequences, time: int) -> Sequences:
    """The events of one sequence before a time."""
    start, stop = int(sequence.starts[0]), int(sequence.stops[0])
    known = np.searchsorted(sequence.columns.timestamp[start:stop], time, side="left")
    return Sequences(
        sequence.users, sequence.starts, np.array([start + int(known)]), sequence.columns
    )
