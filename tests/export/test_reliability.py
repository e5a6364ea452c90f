"""The picture of the model card: promised probabilities beside what came."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from export.probe.model import Model as Version
from export.reliability import Reliability, draw_reliability, measure_reliability
from tests.export.published import Published
from tests.export.small_runs import Model
from tfrec.data.splits import load_split
from tfrec.evaluation.calibration import reliability
from tfrec.interest.asking.load import load_run
from tfrec.interest.fitting.engagement import sample_pairs
from tfrec.interest.reading import matrix


@pytest.fixture(scope="module")
def found(ledger: Model) -> Reliability:
    return measure_reliability(Version(ledger.folder), ledger.exported, ledger.run)


def test_the_version_promises_what_the_run_does(found: Reliability, ledger: Model) -> None:
    """The same pairs, scored by Python, with the odds of negatives counted 1 / rate times."""
    run = load_run(ledger.run)
    assert run.readouts
    cases = load_split(ledger.run, run.data).cases("test")
    states, items = run.reader.read(cases).states(), matrix(run.reader.catalogue)
    rng = np.random.default_rng(ledger.exported.config.training.seed)
    pairs = sample_pairs(lambda block: states[block] @ items.T, cases, run.data.num_items, rng)
    odds = 1 / run.readouts.engagement.apply(pairs.scores) - 1
    expected = reliability(1 / (1 + odds * pairs.rate), pairs.taken)
    assert found.cases == len(cases)
    assert (found.pairs, found.taken) == (len(pairs.taken), len(cases.targets))
    np.testing.assert_allclose(found.table.probability, expected.probability, rtol=1e-3)
    np.testing.assert_allclose(found.table.rate, expected.rate, atol=1e-12)
    weights = expected.count / expected.count.sum()
    error = (weights * np.abs(expected.rate - expected.probability)).sum()
    assert found.error == pytest.approx(error, abs=1e-4)


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
