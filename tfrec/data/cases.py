"""What an evaluation asks: given this history, where are these items ranked?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Int32, Int64, Sequences, ragged_index


@dataclass(frozen=True)
class Cases:
    """N evaluation cases. Case n: history n, asked at `request_times[n]`, should rank high the
    items `targets[target_offsets[n]:target_offsets[n + 1]]`.

    Attributes:
        histories: what the model may know, N sequences (a history may be empty).
        targets: int32 [T], item indices, distinct inside a case and never empty.
        target_offsets: int64 [N + 1].
        request_times: int64 [N], unix milliseconds: the time of the first target event, or of the
            newest one in the history where a split does not look at time.
    """

    histories: Sequences
    targets: Int32
    target_offsets: Int64
    request_times: Int64

    def __len__(self) -> int:
        return len(self.histories)

    def take(self, rows: slice | npt.NDArray[np.integer]) -> Cases:
        """The chosen cases, in the chosen order."""
        starts, stops = self.target_offsets[:-1][rows], self.target_offsets[1:][rows]
        lengths = stops - starts
        return replace(
            self,
            histories=self.histories.take(rows),
            targets=self.targets[ragged_index(starts, lengths)],
            target_offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
            request_times=self.request_times[rows],
        )

    def target_cases(self) -> Int64:
        """The case that each target belongs to, int64 [T]."""
        return np.repeat(np.arange(len(self)), np.diff(self.target_offsets))
