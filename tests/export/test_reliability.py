"""The picture of the model card: promised probabilities beside what came."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.probe.model import Model as Version
from export.reliability import Reliability, draw_reliability, measure_reliability
from tests.export.published import Published
from tests.export.small_runs import Model
from tfrec.data.sequences import Bool
from tfrec.data.splits import load_split
from tfrec.evaluation.calibration import Float64, reliability
from tfrec.evaluation.calibration import Reliability as Table
from tfrec.interest.asking.load import load_run
from tfrec.interest.fitting.calibrators import Platt
from tfrec.interest.fitting.engagement import sample_pairs
from tfrec.interest.reading import matrix
from tfrec.interest.readouts import READOUTS, Readouts

# Relative difference of probabilities below which the version and Python need not agree which of
# two pairs is the higher.
ROUNDING = 4e-6


@pytest.fixture(scope="module")
def sloping(ledger: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run, with probabilities that differ from pair to pair.

    What so small a world teaches may be a line that is all but flat, along which rounding alone
    decides the order of pairs.
    """
    folder = tmp_path_factory.mktemp("sloping") / "run"
    shutil.copytree(ledger.run, folder, ignore=shutil.ignore_patterns(READOUTS))
    fitted = Readouts.load(ledger.run)
    steep = replace(fitted.engagement, platt=Platt(1.0, -3.0), isotonic=None)
    replace(fitted, engagement=steep).save(folder)
    return folder


@pytest.fixture(scope="module")
def found(ledger: Model, sloping: Path) -> Reliability:
    return measure_reliability(Version(ledger.folder), ledger.exported, sloping)


def test_the_version_promises_what_the_run_does(
    found: Reliability, ledger: Model, sloping: Path
) -> None:
    """The same pairs, scored by Python, with the odds of negatives counted 1 / rate times."""
    run = load_run(sloping)
    assert run.readouts
    cases = load_split(ledger.run, run.data).cases("test")
    states, items = run.reader.read(cases).states(), matrix(run.reader.catalogue)
    rng = np.random.default_rng(ledger.exported.config.training.seed)
    pairs = sample_pairs(lambda block: states[block] @ items.T, cases, run.data.num_items, rng)
    odds = 1 / run.readouts.engagement.apply(pairs.scores) - 1
    promised = 1 / (1 + odds * pairs.rate)
    assert found.cases == len(cases)
    assert (found.pairs, found.taken) == (len(pairs.taken), len(cases.targets))
    _same_bins(found.table, promised, pairs.taken)
    table = found.table
    gaps = np.abs(table.rate - table.probability)
    assert found.error == pytest.approx((table.count * gaps).sum() / len(pairs.taken))


def _same_bins(found: Table, promised: Float64, taken: Bool) -> None:
    """Pairs that rounding can tell apart are in the same bins; others may have changed places.

    Read as sums over all pairs up to the end of each bin, so that two pairs that are nearly tied
    there move one sum by at most what they hold.
    """
    expected = reliability(promised, taken)
    assert len(found.count) == len(expected.count)
    order = np.argsort(promised, kind="stable")
    p, y = promised[order], np.append(0, np.cumsum(taken[order]))
    end = np.cumsum(found.count)
    below = np.searchsorted(p, p[end - 1] * (1 - ROUNDING))
    above = np.searchsorted(p, p[end - 1] * (1 + ROUNDING), "right")
    assert end[-1] == len(p)
    assert (above - below <= len(p) // 50).all()  # else the bounds below would say nothing
    assert (np.abs(end - np.cumsum(expected.count)) <= above - below).all()
    np.testing.assert_allclose(
        np.cumsum(found.probability * found.count), np.cumsum(p)[end - 1], rtol=ROUNDING
    )
    came = np.cumsum(found.rate * found.count)
    assert (came >= y[below] - 1e-6).all()
    assert (came <= y[above] + 1e-6).all()
    assert came[-1] == pytest.approx(y[-1])


def test_the_picture_shows_every_bin(found: Reliability, tmp_path: Path) -> None:
    draw_reliability(found, tmp_path / "one.svg")
    draw_reliability(found, tmp_path / "two.svg")
    text = (tmp_path / "one.svg").read_text("utf-8")
    assert text == (tmp_path / "two.svg").read_text("utf-8")  # no date, no random names
    drawn = ET.fromstring(text)
    words = ["".join(one.itertext()) for one in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert f"ECE {found.error:.4f}" in words
    assert len(
        [one for one in drawn.iter("{http://www.w3.org/2000/svg}use") if "x" in one.attrib]
    ) >= (len(found.table.count))


def test_the_card_says_it_with_the_protocol(published: Published) -> None:
    extra = published.models / "1" / "assets.extra"
    card = (extra / "MODEL_CARD.md").read_text("utf-8")
    assert "Expected calibration error 0." in card
    assert re.search(r"Of \d\d test cases all \d\d items that were taken", card)
    assert "![Share taken over promised probability](reliability.svg)" in card
    assert (extra / "reliability.svg").stat().st_size > 1000
