"""The true ledger of the synthetic world: for any user, moment and item, chosen or not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tfrec.data import simulate, world
from tfrec.data.locate import locate
from tfrec.data.prepared import PreparedData
from tfrec.data.sequences import Bool, Float32, Int64, Sequences
from tfrec.errors import UserError
from tfrec.run import RunConfig

REQUESTS_PER_BLOCK = 64


class PlantedLines(NamedTuple):
    """taste: θ_uk(t)·topic_ik, [N, I, K]. momentary: η_u Σ_s 2^(-Δ/h_k) sim_k(i_s, i), [N, I, K].
    conformity: κ_u·log pop_i(t), [N, I]. log_popularity: log pop_i(t), [N, I]."""

    taste: Float32
    momentary: Float32
    conformity: Float32
    log_popularity: Float32


@dataclass(frozen=True)
class Planted:
    """The world behind a prepared log; rows are in the order of the log's own users and items.

    Attributes:
        users, items: the parameters.
        half_life_days: h_k, [K].
        topics: their names.
    """

    users: world.Users
    items: world.Items
    half_life_days: npt.NDArray[np.float64]
    topics: list[str]

    @classmethod
    def of(cls, config: RunConfig, data: PreparedData) -> Planted:
        """Reads the truth/ folder beside the log.

        Raises:
            UserError: the log is not a synthetic world, or its truth is gone.
        """
        folder = truth_folder(config)
        about = json.loads((folder / "world.json").read_text(encoding="utf-8"))
        user_rows = _numbers(data.users["user_id"].to_pylist())
        item_rows = _numbers(data.items["item_id"].to_pylist())
        with np.load(folder / "users.npz") as arrays:
            users = world.Users(**{name: arrays[name][user_rows] for name in arrays.files})
        with np.load(folder / "items.npz") as arrays:
            by_week = ("log_popularity", "log_propensity")
            items = world.Items(
                **{
                    name: arrays[name][:, item_rows] if name in by_week else arrays[name][item_rows]
                    for name in arrays.files
                }
            )
        return cls(users, items, np.asarray(about["half_life_days"]), about["topics"])

    def lines(self, histories: Sequences, request_times: Int64) -> PlantedLines:
        """The lines of every item for N requests.

        Arguments:
            histories: everything that the user did before, N sequences.
            request_times: unix milliseconds, [N].
        """
        second = np.asarray(request_times) / 1000 - world.START
        user = np.asarray(histories.users, np.int64)
        popularity = self.items.log_popularity[world.week_of(second)]
        taste = self.users.taste_at(user, second / world.DAY)
        momentary = np.concatenate(
            [
                self._momentary(histories.take(part), second[part])
                for part in _blocks(len(histories))
            ]
        )
        return PlantedLines(
            taste=taste[:, None, :] * self.items.topic,
            momentary=momentary,
            conformity=self.users.conformity[user, None] * popularity,
            log_popularity=popularity,
        )

    def shown(self, request_times: Int64) -> Bool:
        """Which items the site had at N moments (unix milliseconds), [N, I]."""
        week = world.week_of(np.asarray(request_times) / 1000 - world.START)
        return np.isfinite(self.items.log_propensity[week])

    def _momentary(self, histories: Sequences, second: npt.NDArray[np.float64]) -> Float32:
        kinds = len(self.half_life_days)
        strands = self.items.vector.reshape(len(self.items.domain), kinds, -1)  # [I, K, M]
        rows = histories.event_rows()
        request = np.repeat(np.arange(len(histories)), histories.lengths)
        happened = np.asarray(histories.columns.timestamp[rows]) / 1000 - world.START
        age = (second[request] - happened) / world.DAY
        left = 2 ** (-age[:, None] / self.half_life_days)  # [E, K]
        echo = np.zeros((len(histories), *strands.shape[1:]))
        np.add.at(echo, request, left[..., None] * strands[histories.columns.item[rows]])
        excitation = self.users.excitation[np.asarray(histories.users, np.int64)]
        lines = np.einsum("n,nkm,ikm->nik", excitation, echo, strands, optimize=True)
        return np.asarray(lines, np.float32)


def truth_folder(config: RunConfig) -> Path:
    """Where the truth about the log of a run lies.

    Raises:
        UserError: there is none.
    """
    name = config.data.data
    log = Path(name)
    if name == "synthetic":
        log = locate(config.data, lambda line: None).events.paths[0]
    folder = log.parent / simulate.TRUTH
    if not (folder / "world.json").exists():
        raise UserError(
            f"{name} has no {simulate.TRUTH}/world.json beside it: the truth is only known of "
            "--data synthetic and of what python -m tfrec.data simulate wrote"
        )
    return folder


def requests(data: PreparedData, rows: Int64) -> tuple[Sequences, Int64]:
    """Histories before some events of the log and the times of these events."""
    user = np.searchsorted(data.user_offsets, rows, side="right") - 1
    histories = Sequences(user.astype(np.int32), data.user_offsets[:-1][user], rows, data.columns)
    return histories, np.asarray(data.columns.timestamp[rows], np.int64)


def _numbers(names: list[str]) -> Int64:
    """ "u00007" and "i00007" are row 6 of the world."""
    return np.array([int(name[1:]) - 1 for name in names], np.int64)


def _blocks(count: int) -> list[slice]:
    return [
        slice(start, start + REQUESTS_PER_BLOCK) for start in range(0, count, REQUESTS_PER_BLOCK)
    ]
