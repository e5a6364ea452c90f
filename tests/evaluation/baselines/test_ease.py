import numpy as np
import pytest
from small_logs import cases, dense, random_log, sequences

from tfrec.evaluation.baselines import EASE
from tfrec.evaluation.baselines.ease import invert


def columnwise(matrix, regularization):
    """Each column by its own ridge regression on the other items: the constraint, literally."""
    num_items = matrix.shape[1]
    weights = np.zeros((num_items, num_items))
    for item in range(num_items):
        others = np.delete(np.arange(num_items), item)
        inputs = matrix[:, others]
        system = inputs.T @ inputs + regularization * np.eye(num_items - 1)
        weights[others, item] = np.linalg.solve(system, inputs.T @ matrix[:, item])
    return weights


def textbook(matrix, regularization):
    """Steck (2019), equation 8."""
    inverse = np.linalg.inv(matrix.T @ matrix + regularization * np.eye(matrix.shape[1]))
    weights = inverse / (-np.diag(inverse))
    np.fill_diagonal(weights, 0)
    return weights


@pytest.mark.parametrize("solution", [textbook, columnwise])
@pytest.mark.parametrize("regularization", [0.5, 20.0])
def test_solves_the_constrained_least_squares(solution, regularization):
    histories = random_log(50, 12, 9, repeats=True)
    model = EASE(regularization)
    model.fit(sequences(histories), 12)
    weights = solution(dense(histories, 12), regularization)
    one_item_each = cases([[item] for item in range(12)])
    np.testing.assert_allclose(model.score(one_item_each), weights, rtol=2e-4, atol=1e-5)
    asked = [[0, 3, 3], [], [11]]
    np.testing.assert_allclose(
        model.score(cases(asked)), dense(asked, 12) @ weights, rtol=2e-4, atol=1e-5
    )


def test_inverse_in_blocks(monkeypatch):
    monkeypatch.setattr("tfrec.evaluation.baselines.ease._BLOCKS", (5, 2))
    monkeypatch.setattr("tfrec.evaluation.baselines.ease._ROWS", 4)
    factor = np.random.default_rng(0).normal(size=(10, 10))
    matrix = (factor @ factor.T + 10 * np.eye(10)).astype(np.float32)
    inverse = matrix.copy()
    invert(inverse)
    np.testing.assert_allclose(inverse, np.linalg.inv(matrix), atol=1e-6)


def test_a_singular_matrix_is_an_error_that_says_what_to_do():
    with pytest.raises(np.linalg.LinAlgError, match="larger regularization"):
        invert(np.ones((3, 3), np.float32))
