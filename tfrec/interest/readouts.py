"""All that is fitted once training is over and the weights stand still, in one file."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tfrec.arrays import save_arrays
from tfrec.errors import UserError
from tfrec.interest.fitting.action_readout import ActionReadout
from tfrec.interest.fitting.calibrators import Isotonic, Temperature
from tfrec.interest.fitting.engagement import Engagement
from tfrec.interest.fitting.ordinal import OrdinalLink
from tfrec.interest.fitting.strength_link import StrengthLink

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]
Arrays = dict[str, npt.NDArray[np.generic]]

READOUTS = "readouts.npz"
FORMAT_VERSION = 1
_ABOUT = "about"


class Part(Protocol):
    """A read-out that can be stored."""

    def to_arrays(self) -> Mapping[str, npt.NDArray[np.generic]]: ...


@dataclass(frozen=True, eq=False)
class GradeLink:
    """Strengths that are grades, such as 1 … 5 stars.

    Attributes:
        values: the grades, float64 [G], rising.
        link: standardised strength -> distribution over them.
    """

    values: Float64
    link: OrdinalLink

    def probabilities(self, predictions: Floats) -> Float64:
        """P(grade), float64 [..., G], of predictions [...]."""
        flat = np.asarray(predictions, np.float64).ravel()
        found = self.link.grade_probabilities(flat)
        return np.asarray(found.reshape(*np.shape(predictions), len(self.values)))

    def expected(self, predictions: Floats) -> Float64:
        """Mean grade, float64 of the shape of `predictions`; rises with them.

        The lowest grade plus every step times the chance to be above it: rounding cannot turn
        the order around, as it could in a sum of grades times probabilities.
        """
        from scipy.special import expit

        z = self.link.scale * np.asarray(predictions, np.float64)[..., None]
        above = expit(z - self.link.thresholds)
        return np.asarray(self.values[0] + (above * np.diff(self.values)).sum(axis=-1))

    def to_arrays(self) -> Arrays:
        return {"values": self.values, **self.link.to_arrays()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> GradeLink:
        return cls(arrays["values"].astype(np.float64), OrdinalLink.from_arrays(arrays))


@dataclass(frozen=True, eq=False)
class Strong:
    """P(strength ≥ threshold | engaged) from the standardised strength.

    Attributes:
        threshold: in the unit of the strengths, see `fitting.fit_readouts.strong_threshold`.
        curve: the calibrator.
    """

    threshold: float
    curve: Isotonic

    def to_arrays(self) -> Arrays:
        return {"threshold": np.array([self.threshold]), **self.curve.to_arrays()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Strong:
        return cls(float(arrays["threshold"][0]), Isotonic.from_arrays(arrays))


@dataclass(frozen=True, eq=False)
class Readouts:
    """The links between the model's sums and what people read. Fitted on validation alone.

    Attributes:
        temperature: T of softmax(s / T) over the catalogue, for the next event.
        engagement: score -> P(engaged), see `Engagement` for what that means.
        strength: standardised strength -> strength; None when the log or the model has none.
        grades: the same where strengths are 2 to 20 distinct grades, else None.
        strong: standardised strength -> P(strength ≥ threshold | engaged), or None.
        actions: lines -> P(action | engaged); None when the log has fewer than two actions.

    Example:
        >>> readouts = fit_readouts(model, split, seed=0)   # doctest: +SKIP
        >>> readouts.save(Path("runs/one"))                 # doctest: +SKIP
        >>> Readouts.load(Path("runs/one")).temperature     # doctest: +SKIP
        Temperature(temperature=1.04)
    """

    temperature: Temperature
    engagement: Engagement
    strength: StrengthLink | None = None
    grades: GradeLink | None = None
    strong: Strong | None = None
    actions: ActionReadout | None = None

    def with_items(self, added: int) -> Readouts:
        """The same for a catalogue that ends with so many more items, of which nothing is known."""
        if self.actions is None:
            return self
        typical = np.zeros((added, self.actions.rates.shape[1]), np.float32)
        rates = np.concatenate([self.actions.rates, typical])
        return replace(self, actions=replace(self.actions, rates=rates))

    def save(self, folder: Path) -> None:
        """Writes `readouts.npz` into a run folder; an older one stays until this one is whole.

        Raises:
            UserError: the disk is full or not writable.
        """
        arrays: dict[str, Any] = {
            f"{name}/{key}": array
            for name in _PARTS
            if (part := getattr(self, name)) is not None
            for key, array in part.to_arrays().items()
        }
        about = json.dumps({"format_version": FORMAT_VERSION})
        arrays[_ABOUT] = np.frombuffer(about.encode(), np.uint8)
        save_arrays(folder / READOUTS, arrays)

    @classmethod
    def load(cls, folder: Path) -> Readouts:
        """What `save` wrote.

        Raises:
            UserError: the file is missing, damaged or of another version.
        """
        path = folder / READOUTS
        try:
            with np.load(path) as saved:
                version = json.loads(saved[_ABOUT].tobytes())["format_version"]
                arrays = {name: saved[name] for name in saved.files if name != _ABOUT}
            parts = _parts(arrays) if version == FORMAT_VERSION else None
        except FileNotFoundError:
            raise UserError(
                f"{folder} has no {READOUTS}: the run is not finished. Go on with "
                f"python -m tfrec.train --resume {folder}"
            ) from None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{path} is damaged ({error}). Train again") from None
        if parts is None:
            raise UserError(
                f"{path} has format version {version}, this tfrec reads {FORMAT_VERSION}. "
                "Train again"
            )
        return cls(**parts)


_PARTS: dict[str, Any] = {
    "temperature": Temperature,
    "engagement": Engagement,
    "strength": StrengthLink,
    "grades": GradeLink,
    "strong": Strong,
    "actions": ActionReadout,
}


def _parts(arrays: Mapping[str, npt.NDArray[np.generic]]) -> dict[str, Any]:
    grouped: dict[str, Arrays] = {}
    for name, array in arrays.items():
        part, _, key = name.partition("/")
        grouped.setdefault(part, {})[key] = array
    return {name: _PARTS[name].from_arrays(group) for name, group in grouped.items()}
