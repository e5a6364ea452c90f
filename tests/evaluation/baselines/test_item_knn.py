import numpy as np
import pytest
from small_logs import cases, dense, random_log, sequences

from tfrec.evaluation.baselines import ItemKNN


def reference(histories, num_items, neighbours, shrinkage, user_damping):
    """The formula of the docstring, item by item."""
    matrix = dense(histories, num_items)
    counts = np.maximum(matrix.sum(axis=1), 1)
    weighted = matrix * (counts ** (-user_damping / 2))[:, None]
    similarity = np.zeros((num_items, num_items))
    for j in range(num_items):
        for i in range(num_items):
            scale = np.linalg.norm(weighted[:, j]) * np.linalg.norm(weighted[:, i]) + shrinkage
            if i != j and scale > 0:
                similarity[j, i] = weighted[:, j] @ weighted[:, i] / scale
        kept = np.argsort(-similarity[j])[:neighbours]
        similarity[j, np.setdiff1d(np.arange(num_items), kept)] = 0
    return similarity


@pytest.mark.parametrize("user_damping", [0.0, 0.5])
@pytest.mark.parametrize("shrinkage", [0.0, 10.0])
def test_all_neighbours_give_dense_cosine(shrinkage, user_damping, monkeypatch):
    monkeypatch.setattr("tfrec.evaluation.baselines.item_knn._CELLS_PER_BLOCK", 50)
    histories = random_log(40, 13, 9)
    model = ItemKNN(neighbours=50, shrinkage=shrinkage, user_damping=user_damping)
    model.fit(sequences(histories), 13)
    similarity = reference(histories, 13, 13, shrinkage, user_damping)
    asked = [*random_log(6, 13, 9, seed=1), [], [4, 4]]
    np.testing.assert_allclose(
        model.score(cases(asked)), dense(asked, 13) @ similarity, rtol=1e-5, atol=1e-6
    )


def test_keeps_the_most_similar_items_only():
    histories = random_log(60, 11, 8, seed=2)
    # Damping makes similarities distinct, so that "the largest three" is one set.
    model = ItemKNN(neighbours=3, shrinkage=0.7, user_damping=0.9)
    model.fit(sequences(histories), 11)
    similarity = reference(histories, 11, 3, 0.7, 0.9)
    scores = model.score(cases([[item] for item in range(11)]))
    np.testing.assert_allclose(scores, similarity, rtol=1e-5, atol=1e-6)
    assert ((scores > 0).sum(axis=1) <= 3).all()
