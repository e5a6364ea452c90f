"""A ledger without the facets that matter least answers as the whole one with those silenced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.__main__ import main
from export.comparison import compare_versions, paired
from export.graph.ledger import columns
from export.pruning import Facets
from tests.export.asked_requests import random_request
from tests.export.published import Published
from tests.export.served_model import Answer
from tests.export.small_runs import IDS, Model
from tfrec.interest.asking.load import load_run

CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module")
def facets(pruned: Model) -> Facets:
    assert pruned.exported.facets is not None
    return pruned.exported.facets


def answers(ledger: Model, pruned: Model, facets: Facets, name: str, **own: Any) -> list[Answer]:
    """Of the whole ledger with the facets that were left out at a gain of 0, and of the other."""
    request = random_request(IDS, len(facets.names), 8, 10, seed=3, gains=True)
    silent = request.facet_gain.copy()
    silent[:, [n for n in range(len(facets.names)) if n not in facets.kept]] = 0
    asked = request.full | own
    return [
        ledger.served.ask(name, **asked | {"facet_gain": silent}),
        pruned.served.ask(name, **asked | {"facet_gain": silent[:, facets.kept]}),
    ]


def test_as_few_facets_are_kept_as_contribute_the_share(facets: Facets, ledger: Model) -> None:
    assert facets.pruned
    assert facets.cases == len(load_run(ledger.run).split.cases("validation"))
    shares = np.array(facets.shares)
    assert shares.sum() == pytest.approx(1)
    kept = shares[facets.kept]
    assert kept.sum() >= 0.7 > kept.sum() - kept.min()
    assert kept.min() >= np.delete(shares, facets.kept).max()
    assert ledger.exported.facets is not None
    assert ledger.exported.facets.names == facets.names
    assert not ledger.exported.facets.pruned


def test_what_is_left_answers_as_if_the_others_were_silent(
    ledger: Model, pruned: Model, facets: Facets
) -> None:
    candidates = {"candidate_items": [IDS[:9]] * 8}
    for name, own in (
        ("score_full", candidates),
        ("recommend_full", {"exclude_items": [[]] * 8}),
        ("update_user_full", {"item": IDS[:8], "engaged": [True, False] * 4}),
        ("explain_full", candidates),
        ("facets_full", {}),
    ):
        whole, found = answers(ledger, pruned, facets, name, **own)
        assert whole.keys() == found.keys()
        for key in whole.keys() - {"text"}:
            expected = whole[key]
            if expected.shape != found[key].shape:  # the dimension of facets
                axis = 1 if name in ("facets_full", "update_user_full") else -1
                expected = expected.take(facets.kept, axis=axis)
            if expected.dtype == object:
                np.testing.assert_array_equal(found[key], expected, f"{name}: {key}")
            else:
                np.testing.assert_allclose(found[key], expected, err_msg=f"{name}: {key}", **CLOSE)


def test_vectors_lose_the_numbers_of_the_facets(
    ledger: Model, pruned: Model, facets: Facets
) -> None:
    left = columns(load_run(ledger.run).reader.model, facets.kept)
    assert len(left) == pruned.exported.sizes.embedding < ledger.exported.sizes.embedding
    asked = {"embed_items": {"items": IDS}, "embed_text": {"texts": ["The 3th <b>moon</b>", ""]}}
    for name, inputs in asked.items():
        whole, found = (one.served.ask(name, **inputs)["embedding"] for one in (ledger, pruned))
        np.testing.assert_allclose(found, whole[:, left], **CLOSE)


def test_it_is_compared_with_the_ledger_as_it_was_trained(
    ledger: Model, pruned: Model, facets: Facets
) -> None:
    found = compare_versions(ledger.folder, pruned.folder, pruned.exported, ledger.run)
    assert found.smaller.bytes < found.original.bytes
    assert found.smaller.metric - found.original.metric == pytest.approx(
        found.difference.value, abs=1e-6
    )
    assert f"{len(facets.kept)} of 5 facets changes NDCG@10 by " in paired(found)


def test_only_a_ledger_has_facets(
    sasrec: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(sasrec.run), str(tmp_path / "models"), "--prune", ".9"]) == 2
    assert "--prune leaves out facets, and a sasrec has none" in capsys.readouterr().err
    assert not list((tmp_path / "models").glob("[0-9]*"))
    assert main([str(sasrec.run), str(tmp_path / "models"), "--prune", "1.5"]) == 2
    assert "--prune 1.5 must be a share, above 0 and at most 1" in capsys.readouterr().err


def test_clients_of_the_whole_ledger_would_not_get_on_with_it(
    published: Published, facets: Facets, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(published.models.rglob("*"))
    assert main([str(published.model.run), str(published.models), "--prune", ".7"]) == 2
    said = capsys.readouterr()
    assert f"{facets.sentence()}\n" in said.out
    gain = f"facet_gain has shape [-1, {len(facets.kept)}], it was [-1, 5]"
    assert f"clients of {published.models / '1'} would break: " in said.err
    assert f"score_full's input {gain}" in said.err
    assert sorted(published.models.rglob("*")) == before
