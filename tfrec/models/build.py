"""From the model's options and the catalogue to a built Keras model."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tfrec.data.prepared import PreparedData
from tfrec.data.sequences import Bool, Sequences, count_items
from tfrec.data.user_texts import UserTexts
from tfrec.errors import UserError
from tfrec.models.options import ModelConfig

# Training events per user from which on a history is no longer short.
MANY_EVENTS = 20


class SequenceModel(Protocol):
    """What training, evaluation and export need of a model: a Keras model with an item matrix."""

    num_items: int
    max_length: int
    trainable_variables: list[Any]
    variables: list[Any]

    def __call__(self, batch: dict[str, Any], training: bool = False) -> Any:
        """int [B, L] items, segments, positions -> states [B, L, D]."""

    def item_matrix(self) -> Any:
        """[num_items, D]; logits are states · item_matrixᵀ."""


DISPLAY_NAMES = {"ledger": "Ledger", "sasrec": "SASRec", "two-tower": "Two-tower"}


def build_model(
    config: ModelConfig,
    data: PreparedData,
    train: Sequences,
    texts: npt.NDArray[np.float32] | None = None,
    users: UserTexts | None = None,
    vectors: npt.NDArray[np.float32] | None = None,
) -> SequenceModel:
    """A built model with fresh weights.

    Arguments:
        config: what to build.
        data: the catalogue and the vocabularies.
        train: training events, from which the ledger takes what is popular and how strengths vary.
        texts: one vector per item, [I, text_dim]; None for a model that reads no texts.
        users: their texts; None for a model that reads none of users.
        vectors: other vectors of the items, [I, vector_dim]; None for none.

    Raises:
        UserError: the options do not fit together.
    """
    for name in (
        "dim",
        "layers",
        "heads",
        "hidden",
        "max_length",
        "facets",
        "facet_dim",
        "periods",
    ):
        if getattr(config, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1")
    if config.dropout is not None and not 0 <= config.dropout < 1:
        raise UserError(f"--dropout {config.dropout} must be at least 0 and below 1")
    if not 0 <= config.id_dropout < 1:
        raise UserError(f"--id-dropout {config.id_dropout} must be at least 0 and below 1")
    if config.model == "ledger" and config.facets > config.dim:
        raise UserError(f"--facets {config.facets} must not be more than --dim {config.dim}")
    if config.topics < 0:
        raise UserError(f"--topics {config.topics} must not be negative")
    if config.temperature <= 0:
        raise UserError(f"--temperature {config.temperature} must be above 0")
    if config.model != "two-tower" and config.dim % config.heads:
        raise UserError(f"--heads {config.heads} does not divide --dim {config.dim}")

    model: Any
    if config.model == "ledger":
        return _build_ledger(  # type: ignore[no-any-return]
            config, data, train, texts, users, vectors
        )
    if config.model == "sasrec":
        from tfrec.models.sasrec import SASRec

        model = SASRec(
            data.num_items,
            config.dim,
            config.layers,
            config.heads,
            config.max_length,
            dropout_rate(config, train),
        )
    else:
        from tfrec.models.two_tower import TwoTower

        model = TwoTower(
            data.num_items,
            config.dim,
            config.hidden,
            config.max_length,
            dropout_rate(config, train),
            config.temperature,
            categories=category_matrix(data),
        )
    model.build()
    return model  # type: ignore[no-any-return]


def dropout_rate(config: ModelConfig, train: Sequences) -> float:
    """What is given, or more for short histories, which are soon known by heart.

    Kang & McAuley, ICDM 2018, arXiv 1808.09781, §IV-D: 0.2 for MovieLens-1M (163 events per user),
    0.5 for logs with 7 to 11.
    """
    if config.dropout is not None:
        return config.dropout
    users = np.count_nonzero(train.lengths)
    return 0.2 if train.lengths.sum() >= MANY_EVENTS * users else 0.5


def _build_ledger(
    config: ModelConfig,
    data: PreparedData,
    train: Sequences,
    texts: npt.NDArray[np.float32] | None,
    users: UserTexts | None,
    vectors: npt.NDArray[np.float32] | None,
) -> Any:
    from tfrec.data.popularity import popularity_by_period
    from tfrec.data.strengths import item_strengths, strength_scale
    from tfrec.models.expected_popularity import fit_popularity
    from tfrec.models.ledger import Ledger

    categories = category_matrix(data)
    cold = described_alone(train, data.num_items, categories, texts, vectors)
    popularity = popularity_by_period(train, data.num_items, config.periods, cold)
    if cold.any():
        parts = [part for part in (categories, texts, vectors) if part is not None]
        expected = fit_popularity(popularity.logarithm, parts, cold)
        popularity.logarithm[:, cold] = expected.of([part[cold] for part in parts]).T
    model = Ledger(
        data.num_items,
        config.dim,
        config.layers,
        config.heads,
        config.max_length,
        dropout_rate(config, train),
        config.facets + 2 * config.topics,
        config.facet_dim,
        config.topics,
        config.encoder,
        config.weights,
        config.request_time,
        config.residual,
        config.id_dropout,
        num_categories=0 if categories is None else categories.shape[1],
        text_dim=0 if texts is None else texts.shape[1],
        num_actions=max(len(data.meta.actions), 1) + (0 if users is None else len(users.kinds)),
        num_periods=len(popularity.starts),
        vector_dim=0 if vectors is None else vectors.shape[1],
    )
    model.build()
    model.user_texts = users
    model.tower.set_events(count_items(train, data.num_items), cold)
    model.items.set_popularity(*popularity)
    scale = strength_scale(train)
    model.strength_scale.assign(np.asarray(scale, np.float32))
    # A cold item's would stay as they were drawn.
    targets = model.strength.target_vectors
    targets.assign(np.where(cold[:, None], 0.0, targets))
    model.strength.by_item.assign(item_strengths(train, data.num_items, scale))
    if categories is not None:
        model.tower.categories.assign(categories)
    if texts is not None:
        model.tower.texts.assign(texts)
    if vectors is not None:
        model.tower.vectors.assign(vectors)
    return model


def cold_items(model: SequenceModel) -> Bool | None:
    """Items that a model places without their ids, bool [I]; None where there are none.

    Nobody could take them in training, so that nobody took them is no evidence against them: they
    are no wrong answers of any loss.
    """
    tower = getattr(model, "tower", None)
    cold = np.zeros(0, bool) if tower is None else np.asarray(tower.cold) > 0
    return cold if cold.any() else None


def described_alone(
    train: Sequences, num_items: int, *descriptions: npt.NDArray[np.float32] | None
) -> Bool:
    """Items without a training event that can be told by something else than their id, bool [I].

    Arguments:
        train: training events.
        num_items: size of the catalogue, I.
        descriptions: of every item as a row, categories or a vector; rows of zeros, and None, say
            nothing.
    """
    described = np.zeros(num_items, bool)
    for matrix in descriptions:
        if matrix is not None:
            described |= np.asarray(matrix != 0).any(axis=1)
    taken: Bool = count_items(train, num_items) > 0
    return described & ~taken


def category_matrix(data: PreparedData) -> npt.NDArray[np.float32] | None:
    """Each item's categories as a distribution, float32 [items, categories]; None without any."""
    import pyarrow.compute as pc

    if "categories" not in data.items.column_names:
        return None
    lists = data.items["categories"].combine_chunks()
    flat = pc.list_flatten(lists).dictionary_encode()
    if not len(flat):
        return None
    rows = pc.list_parent_indices(lists).to_numpy()
    matrix = np.zeros((data.num_items, len(flat.dictionary)), np.float32)
    matrix[rows, flat.indices.to_numpy()] = 1
    matrix /= np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    return matrix


def category_names(data: PreparedData) -> list[str]:
    """Names of the columns of `category_matrix`; empty without categories."""
    import pyarrow.compute as pc

    if "categories" not in data.items.column_names:
        return []
    lists = data.items["categories"].combine_chunks()
    names: list[str] = pc.list_flatten(lists).dictionary_encode().dictionary.to_pylist()
    return names
