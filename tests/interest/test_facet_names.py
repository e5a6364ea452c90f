"""How well a facet tells categories apart, against a loop over pairs, and the names that follow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.interest.facet_names import Separation, facet_names, separation

LIVES = np.array([40.0, 3.0, 0.1])


def world(seed: int, items: int = 12, facets: int = 2, categories: int = 3):
    rng = np.random.default_rng(seed)
    values = rng.normal(0.3, 1, (items, facets, 4))
    blocks = values @ rng.normal(0, 1, (4, 4)) + rng.normal(0, 0.3, (items, facets, 4))
    shares = rng.dirichlet(np.ones(categories), items) * (rng.random((items, categories)) < 0.6)
    return values, blocks - blocks.mean(axis=0), shares


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_effects_equal_a_loop_over_pairs(seed: int) -> None:
    values, blocks, shares = world(seed)
    found = separation(values, blocks, shares)
    items, facets, _ = values.shape
    for f in range(facets):
        lines = np.array(
            [
                [
                    np.dot(values[j, f] - values[:, f].mean(axis=0), blocks[i, f])
                    for i in range(items)
                ]
                for j in range(items)
            ]
        )
        for c in range(shares.shape[1]):
            total = weight = 0.0
            for j in range(items):
                for i in range(items):
                    if i != j:
                        total += shares[i, c] * shares[j, c] * lines[j, i]
                        weight += shares[i, c] * shares[j, c]
            expected = total / weight / lines.std() if weight > 1e-9 else 0.0
            assert found.effect[f, c] == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(st.integers(0, 10_000), st.floats(0.01, 100))
@settings(max_examples=25)
def test_neither_loudness_nor_what_is_common_to_all_items_counts(seed, scale) -> None:
    values, blocks, shares = world(seed)
    plain = separation(values, blocks, shares)
    changed = separation(scale * values + 5, blocks, shares)
    np.testing.assert_allclose(changed.effect, plain.effect, rtol=1e-6, atol=1e-9)


def test_the_margin_is_what_random_sets_reach() -> None:
    """Of sets drawn blindly about one in twenty goes beyond two standard errors."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(0, 1, (400, 1, 8))
    vectors -= vectors.mean(axis=0)
    shares = (rng.random((400, 300)) < 0.05).astype(float)
    found = separation(vectors, vectors, shares)
    beyond = found.effect[0] / found.margin
    assert 0.8 < 2 * beyond.std() < 1.2
    assert 0.01 < (np.abs(beyond) > 1).mean() < 0.1


def test_a_planted_facet_tells_its_category_apart() -> None:
    rng = np.random.default_rng(1)
    shares = np.eye(6)[rng.integers(0, 6, 300)]
    values = rng.normal(0, 1, (300, 3, 5))
    for facet, category in enumerate([4, 1, 2]):
        values[:, facet, 0] += 6 * shares[:, category]
    found = separation(values, values - values.mean(axis=0), shares)
    assert found.effect.argmax(axis=1).tolist() == [4, 1, 2]
    names = facet_names(LIVES, found, list("abcdef"))
    assert names == ["e", "b", "c"]


def test_categories_of_one_item_or_of_none_say_nothing() -> None:
    values, blocks, shares = world(3)
    shares[:, 0] = 0
    shares[:, 1] = 0
    shares[4, 1] = 1
    found = separation(values, blocks, shares)
    assert (found.effect[:, :2] == 0).all()
    assert np.isinf(found.margin[:2]).all()
    assert np.isfinite(found.margin[2])
    still = separation(0 * values, blocks, shares)
    assert (still.effect == 0).all()


def made(effect: list[list[float]], margin: float = 0.1) -> Separation:
    table = np.array(effect)
    return Separation(table, np.full(table.shape[1], margin))


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        # Nothing above the others: half-lives.
        ([[1, 1, 1, 1], [0, 0, 0, 0], [0.05, 0, 0, 0]], ["lasting", "facet 2", "momentary"]),
        # One clear category each.
        ([[2, 0, 0, 0], [0, 0, 2, 0], [0, 1, 0, 0]], ["A", "C", "B"]),
        # Two that are nearly alike.
        ([[2, 1.5, 0, 0], [0, 0, 2, 0], [0, 0, 0, 2]], ["A & B", "C", "D"]),
        # All want A: the one that it separates best has it, the others take what is nearly as good.
        ([[2, 1.9, 0, 0], [3, 0.2, 0, 0], [1.5, 0, 0, 0]], ["B", "A", "momentary"]),
        # B is clear in the first, but half as good as A, which the second has: no name.
        ([[2, 1, 0, 0], [3, 0, 0, 0], [0, 0, 0, 0.05]], ["lasting", "A", "momentary"]),
    ],
)
def test_names(effect, expected) -> None:
    assert facet_names(LIVES, made(effect), list("ABCD")) == expected


def test_the_pull_of_a_topic_is_called_as_its_taste() -> None:
    lives = np.array([0.1, 1e4, 1e4, 3.0, 2.0])
    effects = [[0.0, 0, 0], [0, 9, 0], [9, 0, 0], [0, 0, 9], [0, 0, 9]]
    assert facet_names(lives, made(effects), ["A", "B", "C"], topics=2) == [
        "momentary",
        "B",
        "A",
        "B, passing",
        "A, passing",
    ]


def test_names_without_categories() -> None:
    assert facet_names(LIVES) == ["lasting", "facet 2", "momentary"]
    assert facet_names(np.array([3.0])) == ["facet 1"]
    assert facet_names(np.array([3.0, 3.0])) == ["facet 1", "facet 2"]
    assert facet_names(np.array([0.1, 9.0])) == ["momentary", "lasting"]
    with pytest.raises(ValueError, match="3 facets and 2 categories"):
        facet_names(LIVES, made([[1.0, 0, 0]] * 3), ["A", "B"])
    with pytest.raises(ValueError, match=r"\[I, K, d\]"):
        separation(np.zeros((3, 2)), np.zeros((3, 2)), np.zeros((3, 1)))


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 8))
@settings(max_examples=50)
def test_no_two_facets_have_one_name(seed, facets, count) -> None:
    rng = np.random.default_rng(seed)
    separated = Separation(rng.gamma(0.3, 1, (facets, count)), np.full(count, 0.05))
    categories = ["lasting", "facet 2", "momentary", *"abcde"][:count]
    names = facet_names(rng.gamma(1, 1, facets), separated, categories)
    assert len(set(names)) == facets
    assert all(names)
