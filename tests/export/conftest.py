"""Two small runs, trained and exported once for all tests of the export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.export.published import Published, publish
from tests.export.small_runs import PLAIN, Model, served, trained, write_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log and its catalogue."""
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def ledger(world: Path) -> Iterator[Model]:
    """Texts, profiles, searches, categories, actions, strengths, topics and a residual line."""
    run = trained(
        world,
        "ledger",
        model="ledger",
        facets="1",
        facet_dim="4",
        topics="2",
        deletion_loss="0",
        residual="",
        learning_rate="0.05",
        text_encoder=str(world / "encoder"),
        text_max_length="16",
        users=str(world / "users.csv"),
        user_template="{likes}",
        query_share="0.2",
        long_texts="chunks",
    )
    with served(run) as model:
        yield model


@pytest.fixture(scope="session")
def pruned(ledger: Model) -> Iterator[Model]:
    """The same ledger without the facets that matter least; it explains in Chinese."""
    with served(ledger.run, "pruned", PLAIN._replace(prune=0.7, language="zh")) as model:
        yield model


@pytest.fixture(scope="session")
def sasrec(world: Path) -> Iterator[Model]:
    """A model that knows nothing but items and their order."""
    with served(trained(world, "sasrec", model="sasrec")) as model:
        yield model


@pytest.fixture(scope="session")
def published(ledger: Model, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The ledger's first version. Tests leave it as it is."""
    return publish(ledger, tmp_path_factory.mktemp("models") / "shop")
