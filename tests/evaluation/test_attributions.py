from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tfrec.console import import_tensorflow
from tfrec.evaluation.attributions import (
    gradient_times_input,
    integrated_gradients,
    random_attribution,
)

tf = import_tensorflow()


def embedded(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings [5, 6, 3] with numbers at padding too, and the mask of histories of 1 to 6."""
    rng = np.random.default_rng(seed)
    mask = np.arange(6) >= 6 - np.array([[1], [2], [4], [6], [6]])
    return rng.normal(size=(5, 6, 3)).astype(np.float32), mask


def attention(seed: int = 1):
    """A small attention pool over all tokens, padding included: nothing in it is linear."""
    rng = np.random.default_rng(seed)
    query, value = (tf.constant(rng.normal(size=3), tf.float32) for _ in range(2))

    def f(embeddings):
        weights = tf.nn.softmax(tf.linalg.matvec(embeddings, query), axis=1)
        return tf.reduce_sum(weights * tf.tanh(tf.linalg.matvec(embeddings, value)), axis=1)

    return f


def test_gradient_times_input_is_exact_where_f_is_linear():
    x, mask = embedded()
    weights = np.random.default_rng(2).normal(size=(6, 3)).astype(np.float32)
    found = gradient_times_input(lambda e: tf.einsum("nld,ld->n", e, weights) + 7, x, mask)
    lines = np.where(mask, (x * weights).sum(axis=2), 0)
    np.testing.assert_allclose(found, lines, rtol=1e-5, atol=1e-6)
    assert found.dtype == np.float32
    integrated = integrated_gradients(
        lambda e: tf.einsum("nld,ld->n", e, weights) + 7, x, mask, steps=1
    )
    np.testing.assert_allclose(integrated, lines, rtol=1e-5, atol=1e-6)


def test_gradient_agrees_with_finite_differences():
    x, mask = embedded()
    x = x.astype(np.float64)
    weights = np.random.default_rng(3).normal(size=3)

    def f(e):
        return tf.reduce_sum(tf.tanh(tf.linalg.matvec(e, weights)), axis=1) ** 2

    expected = np.zeros(mask.shape)
    for pair, slot in zip(*np.nonzero(mask), strict=True):
        # Moving an embedding along itself changes the score by gradient · embedding.
        up, down = x.copy(), x.copy()
        up[pair, slot] *= 1 + 1e-5
        down[pair, slot] *= 1 - 1e-5
        expected[pair, slot] = (f(up).numpy() - f(down).numpy())[pair] / 2e-5
    np.testing.assert_allclose(gradient_times_input(f, x, mask), expected, atol=1e-5)


@pytest.mark.parametrize(("steps", "error"), [(32, 2e-3), (200, 5e-5)])
def test_integrated_gradients_sum_to_what_the_history_adds(steps, error):
    x, mask = embedded()
    f = attention()
    added = f(x).numpy() - f(np.where(mask[:, :, None], 0, x)).numpy()
    found = integrated_gradients(f, x, mask, steps=steps)
    np.testing.assert_allclose(found.sum(axis=1), added, atol=error)
    assert np.abs(added).max() > 0.3  # the histories do add something
    crude = gradient_times_input(f, x, mask).sum(axis=1)
    assert np.abs(crude - added).max() > 0.05  # which the gradient at one point does not


def test_integrated_gradients_agree_with_an_integral_known_by_hand():
    # f = x² y: on the way t (x, y) the parts are ∫ 2 t² x² y = 2/3 and ∫ t² x² y = 1/3 of f.
    x = np.array([[[2.0], [3.0]]])
    found = integrated_gradients(
        lambda e: e[:, 0, 0] ** 2 * e[:, 1, 0], x, np.ones((1, 2), bool), steps=300
    )
    np.testing.assert_allclose(found, [[8, 4]], rtol=1e-5)


@pytest.mark.parametrize("method", [gradient_times_input, integrated_gradients])
def test_padding_gets_nothing_and_rows_are_apart(method):
    x, mask = embedded()
    found = method(attention(), x, mask)
    assert (found[~mask] == 0).all()
    assert (found[mask] != 0).all()
    np.testing.assert_allclose(method(attention(), x[2:3], mask[2:3]), found[2:3], rtol=1e-4)


@pytest.mark.parametrize("method", [gradient_times_input, integrated_gradients])
def test_works_on_a_compiled_function(method):
    x, mask = embedded()
    np.testing.assert_allclose(
        method(tf.function(attention()), x, mask), method(attention(), x, mask), rtol=1e-4
    )


def test_works_where_a_lookup_makes_the_gradient_sparse():
    x, mask = embedded()
    found = gradient_times_input(
        lambda e: tf.reduce_sum(tf.gather(e, tf.range(5)), axis=(1, 2)), x, mask
    )
    np.testing.assert_allclose(found, np.where(mask, x.sum(axis=2), 0), rtol=1e-5)


def test_random_attributions_are_seeded_normal_numbers():
    mask = np.random.default_rng(4).random((200, 100)) < 0.7
    found = random_attribution(mask, seed=1)
    assert (found[~mask] == 0).all()
    assert found[mask].mean() == pytest.approx(0, abs=0.05)
    assert found[mask].std() == pytest.approx(1, abs=0.05)
    np.testing.assert_array_equal(found, random_attribution(mask, seed=1))
    assert not np.array_equal(found, random_attribution(mask, seed=2))


def test_wrong_arguments_are_refused():
    x, mask = embedded()
    with pytest.raises(ValueError, match=r"got \(5, 6, 3\), \(5, 5\)"):
        gradient_times_input(attention(), x, mask[:, 1:])
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        integrated_gradients(attention(), x, mask, steps=0)
    with pytest.raises(ValueError, match=r"return \[5\] scores, returned \(5, 6\)"):
        gradient_times_input(lambda e: tf.reduce_sum(e, axis=2), x, mask)
    with pytest.raises(ValueError, match="does not depend"):
        gradient_times_input(lambda e: tf.zeros(5), x, mask)


def test_metrics_import_without_tensorflow_or_scipy():
    names = ["attributions", "faithfulness", "independence", "recovery"]
    code = "import sys\n" + "".join(f"import tfrec.evaluation.{name}\n" for name in names)
    code += "print(sorted({'tensorflow', 'keras', 'scipy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
