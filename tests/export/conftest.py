"""Two small runs, trained and exported once for all tests of the export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.export.published import Published, publish
from tests.export.shared import once
from tests.export.small_runs import PLAIN, Model, Saved, saved, served, trained, write_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log and its catalogue."""
    return once(tmp_path_factory, "world", write_world)


@pytest.fixture(scope="session")
def ledger(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """Texts, profiles, searches, categories, actions, strengths, topics and a residual line."""

    def make(_: Path) -> Saved:
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
        return saved(run)

    with served(once(tmp_path_factory, "ledger", make)) as model:
        yield model


@pytest.fixture(scope="session")
def pruned(ledger: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """The same ledger without the facets that matter least; it explains in Chinese."""
    options = PLAIN._replace(prune=0.7, language="zh")
    made = once(tmp_path_factory, "pruned", lambda _: saved(ledger.run, "pruned", options))
    with served(made) as model:
        yield model


@pytest.fixture(scope="session")
def sasrec(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """A model that knows nothing but items and their order."""
    made = once(
        tmp_path_factory, "sasrec", lambda _: saved(trained(world, "sasrec", model="sasrec"))
    )
    with served(made) as model:
        yield model


@pytest.fixture(scope="session")
def towers(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """A model that reads the history in no order."""
    made = once(
        tmp_path_factory, "towers", lambda _: saved(trained(world, "towers", model="two-tower"))
    )
    with served(made) as model:
        yield model


@pytest.fixture(scope="session")
def published(ledger: Model, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The ledger's first version. Tests leave it as it is."""
    models, console = once(
        tmp_path_factory, "published", lambda folder: publish(ledger.run, folder / "shop")
    )
    return Published.of(ledger, models, console)
