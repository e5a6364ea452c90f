"""Whether the `intensity` of a version means what it says: taken as often as it promises."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from export.disk import cannot_write
from export.saved_model import Exported
from export.version_scorer import VersionScorer, some_cases
from tfrec.evaluation.calibration import Reliability as Table
from tfrec.evaluation.calibration import expected_calibration_error, reliability

if TYPE_CHECKING:
    from export.probe.model import Model

PICTURE = "reliability.svg"
_CASES = 2000
# Scores that are looked at: some seconds.
_SCORES = 1 << 25


class Reliability(NamedTuple):
    """What was promised and what came.

    Attributes:
        table: mean probability and observed rate, bin by bin.
        error: expected calibration error, over the same bins.
        noise: an error that chance alone reaches, were the probabilities right.
        cases: test cases. pairs: of user and item that were looked at. taken: how many of them
            were taken.
        rate: share of all other pairs that stand for the rest of them.
    """

    table: Table
    error: float
    noise: float
    cases: int
    pairs: int
    taken: int
    rate: float

    def sentence(self) -> str:
        """The numbers with their protocol."""
        return (
            f"Of {self.cases:,} test cases all {self.taken:,} items that were taken and about one "
            f"in {1 / self.rate:,.0f} of the others that were not, {self.pairs:,} pairs in all; "
            "`intensity` is moved to the share taken among these. Expected calibration error "
            f"{self.error:.4f}, in {len(self.table.count)} bins of equal size; calibrated "
            f"probabilities would show up to {self.noise:.4f} by chance"
        )


def measure_reliability(model: Model, exported: Exported, run: Path) -> Reliability:
    """Asks a version about test cases, which calibration has not seen.

    Arguments:
        model: the version as it will be served, smaller or not.
        exported: what was written. run: that it is from.
    """
    from tfrec.data.splits import load_split
    from tfrec.interest.fitting.engagement import sample_pairs, with_odds
    from tfrec.interest.readouts import Readouts
    from tfrec.run import load_data
    from tfrec.text.users import kept_user_texts

    config = exported.config
    data = load_data(run, config)
    most = min(_CASES, max(1, _SCORES // data.num_items))
    cases = some_cases(load_split(run, data), "test", most, config)
    users = kept_user_texts(data, config.text, run)
    scorer = VersionScorer(model, data, exported.sizes.max_length, users)
    pairs = sample_pairs(
        lambda block: scorer.score(cases.take(block)),
        cases,
        data.num_items,
        np.random.default_rng(config.training.seed),
        config.evaluation.keep_seen,
    )
    # Of what was not taken a part is here, so the odds of being taken are that much higher.
    promised = with_odds(Readouts.load(run).engagement.apply(pairs.scores), 1 / pairs.rate)
    table = reliability(promised, pairs.taken)
    return Reliability(
        table,
        expected_calibration_error(promised, pairs.taken),
        0.4 * float(np.sqrt(len(table.count) / len(pairs.taken))),
        len(cases),
        len(pairs.taken),
        int(pairs.taken.sum()),
        pairs.rate,
    )


def draw_reliability(found: Reliability, path: Path) -> None:
    """Observed rate over promised probability, as SVG.

    Raises:
        UserError: it cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    table = found.table
    most = 1.05 * max(table.probability.max(), table.rate.max(), 1e-9)
    # Names inside the file do not change from export to export.
    with rc_context({"svg.hashsalt": PICTURE, "svg.fonttype": "none"}):
        figure = Figure(figsize=(4.5, 4.5), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.plot([0, most], [0, most], color="0.6", linewidth=1, label="as promised")
        axes.plot(table.probability, table.rate, "o-", label=f"ECE {found.error:.4f}")
        axes.set(
            xlim=(0, most), ylim=(0, most), xlabel="promised probability", ylabel="share taken"
        )
        axes.legend(frameon=False)
        try:
            figure.savefig(path, format="svg", metadata={"Date": None})
        except OSError as error:
            raise cannot_write(path, error) from None
