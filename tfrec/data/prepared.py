"""The prepared folder: what `python -m tfrec.data prepare` writes and training memory-maps.

Format version 1. All arrays are plain .npy files, so any tool can read them:

    meta.json            format version, counts, vocabularies, source, filter steps (see `Meta`)
    user_offsets.npy     int64 [U + 1]  events of user u are rows offsets[u] .. offsets[u + 1] - 1
    event_item.npy       int32 [E]      row of items.parquet
    event_timestamp.npy  int64 [E]      unix milliseconds, not decreasing inside a user;
                                        equal times keep the order of the source
    event_action.npy     int16 [E]      index into meta.actions              (only with actions)
    event_strength.npy   float32 [E]    rating, dwell, count                 (only with strengths)
    event_context.npy    int32 [E]      index into meta.contexts, -1 = none  (only with contexts)
    users.parquet        user_id (string) and the profile columns; row = user index
    items.parquet        item_id (string), the text columns (string) and categories
                         (list<string>); row = item index. In logs that were joined also
                         domain (string): the name of the log that the item is of
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Columns, Int64, Sequences
from tfrec.errors import UserError

if TYPE_CHECKING:
    import pyarrow

FORMAT_VERSION = 1
META = "meta.json"
USER_OFFSETS = "user_offsets.npy"
EVENT_ITEM = "event_item.npy"
EVENT_TIMESTAMP = "event_timestamp.npy"
EVENT_ACTION = "event_action.npy"
EVENT_STRENGTH = "event_strength.npy"
EVENT_CONTEXT = "event_context.npy"
USERS = "users.parquet"
ITEMS = "items.parquet"


@dataclass(frozen=True)
class Step:
    """One step of ingestion or filtering and what was left after it."""

    name: str
    events: int
    users: int
    items: int


@dataclass(frozen=True)
class Meta:
    """What is known about a prepared log beside its arrays.

    Attributes:
        source: where the events came from, as the user named it.
        num_events, num_users, num_items: counts after all steps.
        actions: action vocabulary, in index order; empty when the log has no actions.
        contexts: context vocabulary, likewise.
        text_columns: names of the text columns in items.parquet, in the user's order.
        time_unit: how timestamps were written: "seconds", "milliseconds", "ISO 8601" or
            "none" (no usable time: the order of the file stands in).
        steps: counts after every ingestion and filter step.
        rejected_rows: rows set aside in rejected.csv.
    """

    source: str
    num_events: int
    num_users: int
    num_items: int
    actions: list[str] = field(default_factory=list)
    contexts: list[str] = field(default_factory=list)
    text_columns: list[str] = field(default_factory=list)
    time_unit: str = "seconds"
    steps: list[Step] = field(default_factory=list)
    rejected_rows: int = 0
    format_version: int = FORMAT_VERSION

    def save(self, folder: Path) -> None:
        (folder / META).write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Meta:
        path = folder / META
        try:
            raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(
                f"{folder} is not a prepared folder: it has no {META}. "
                "Make one with python -m tfrec.data prepare"
            ) from None
        except json.JSONDecodeError as error:
            raise UserError(f"{path} is damaged ({error}). Prepare the data again") from None
        if raw.get("format_version") != FORMAT_VERSION:
            raise UserError(
                f"{path} has format version {raw.get('format_version')}, this tfrec reads "
                f"{FORMAT_VERSION}. Prepare the data again"
            )
        raw["steps"] = [Step(**step) for step in raw["steps"]]
        return cls(**raw)


@dataclass(frozen=True)
class PreparedData:
    """A prepared log, memory-mapped: opening it costs no more than reading meta.json.

    Example:
        >>> data = PreparedData.open(Path("prepared/ml-1m"))  # doctest: +SKIP
        >>> data.sequences().take(slice(0, 2)).items()        # doctest: +SKIP
    """

    folder: Path
    meta: Meta
    user_offsets: Int64
    columns: Columns

    @classmethod
    def open(cls, folder: Path | str) -> PreparedData:
        """Opens a prepared folder.

        Raises:
            UserError: it is missing, damaged or of another version.
        """
        folder = Path(folder)
        meta = Meta.load(folder)
        columns = Columns(
            item=_array(folder, EVENT_ITEM, np.int32, meta.num_events),
            timestamp=_array(folder, EVENT_TIMESTAMP, np.int64, meta.num_events),
            action=_array(folder, EVENT_ACTION, np.int16, meta.num_events)
            if meta.actions
            else None,
            strength=_array(folder, EVENT_STRENGTH, np.float32, meta.num_events)
            if (folder / EVENT_STRENGTH).exists()
            else None,
        )
        offsets = _array(folder, USER_OFFSETS, np.int64, meta.num_users + 1)
        return cls(folder, meta, offsets, columns)

    @property
    def num_items(self) -> int:
        return self.meta.num_items

    @property
    def num_users(self) -> int:
        return self.meta.num_users

    @property
    def num_events(self) -> int:
        return self.meta.num_events

    def sequences(self) -> Sequences:
        """All events, one sequence per user, in user order."""
        users = np.arange(self.num_users, dtype=np.int32)
        return Sequences(users, self.user_offsets[:-1], self.user_offsets[1:], self.columns)

    @cached_property
    def items(self) -> pyarrow.Table:
        """The catalogue: item_id, text columns, categories; row = item index."""
        return _table(self.folder / ITEMS)

    @cached_property
    def users(self) -> pyarrow.Table:
        """The users: user_id and profile columns; row = user index."""
        return _table(self.folder / USERS)


def _array(folder: Path, name: str, dtype: type[np.generic], length: int) -> npt.NDArray[Any]:
    path = folder / name
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read ({error}). Prepare the data again") from None
    if array.dtype != dtype or array.shape != (length,):
        raise UserError(
            f"{path} holds {array.dtype} {array.shape}, expected {np.dtype(dtype)} ({length},). "
            "Prepare the data again"
        )
    return array  # type: ignore[no-any-return]


def _table(path: Path) -> pyarrow.Table:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise UserError(f"{path} cannot be read ({error}). Prepare the data again") from None
