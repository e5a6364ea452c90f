"""The ledger: the model's contract, and its arithmetic against an independent forward pass."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models.harness import LENGTH, NUM_ACTIONS, NUM_ITEMS, packed_batch, run_model_checks
from tests.models.test_sasrec import dense, norm
from tfrec.models.ledger import Ledger
from tfrec.models.topic_weights import SPEED

Array = NDArray[np.float64]

# Trained by losses of their own, see tests/training/test_ledger_objective.py.
READOUTS = ("engagement_line", "strength_readout", "category_given_topic")


def small(**changes: object) -> Ledger:
    keras.utils.set_random_seed(3)
    options = {
        "dim": 8,
        "layers": 2,
        "heads": 2,
        "max_length": LENGTH,
        "facets": 2,
        "facet_dim": 3,
        "num_actions": NUM_ACTIONS,
        "num_periods": 2,
        "num_categories": 4,
    } | changes
    model = Ledger(NUM_ITEMS, **options)  # type: ignore[arg-type]
    model.build()
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:  # fresh zeros and ones would hide mistakes
        variable.assign(variable + rng.normal(0, 0.3, variable.shape))
    model.tower.set_events(rng.integers(1, 30, NUM_ITEMS), np.zeros(NUM_ITEMS))
    periods = model.num_periods
    starts = [0, packed_batch()["times"].max() - 1][:periods]
    model.items.set_popularity(starts, rng.normal(0, 1, (periods, NUM_ITEMS)).astype("float32"))
    if model.tower.num_categories:
        model.tower.categories.assign(rng.dirichlet(np.ones(4), NUM_ITEMS))
    if model.tower.text_dim:
        texts = rng.normal(size=(NUM_ITEMS, model.tower.text_dim))
        texts[:2] = 0  # of two items nothing is known
        model.tower.texts.assign(texts)
    return model


@pytest.mark.parametrize(("encoder", "weights"), [("sasrec", "sink"), ("hstu", "pointwise")])
def test_ledger_keeps_every_promise(encoder: str, weights: str, tmp_path: Path) -> None:
    run_model_checks(small(encoder=encoder, weights=weights), tmp_path, READOUTS)


def test_ledger_with_its_residual_line_keeps_every_promise(tmp_path: Path) -> None:
    run_model_checks(small(residual=True, num_categories=0), tmp_path, READOUTS)


def test_ledger_with_topics_keeps_every_promise(tmp_path: Path) -> None:
    run_model_checks(small(facets=5, topics=2), tmp_path, READOUTS)


def softplus(x: Array) -> Array:
    return np.log1p(np.exp(x))


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def array(x: Any) -> Array:
    return np.asarray(x, np.float64)


def encode(model: Ledger, x: Array, times: Array) -> Array:
    """The encoder over one history, event by event, from the papers' equations."""
    n = len(x)
    seconds = np.maximum(times[:, None] - times[None], 0) / 1000
    buckets = np.minimum(np.log2(1 + seconds), 31).astype(int)
    apart = np.clip(np.arange(n)[:, None] - np.arange(n)[None], 0, None)
    h = norm(x, model.history.input_norm)
    for bias, block in zip(model.history.relative, model.history.blocks, strict=True):
        b = array(bias.by_distance)[:, apart] + array(bias.by_time)[:, buckets]
        hstu = model.encoder == "hstu"
        if hstu:
            projected = dense(norm(h, block.input_norm), block.project)
            projected = projected * sigmoid(projected)
            gate, v, q, k = np.split(projected, 4, axis=-1)
        else:
            projected = dense(norm(h, block.attention_norm), block.attention.project)
            q, k, v = np.split(projected, 3, axis=-1)
        heads = []
        for head, part in enumerate(np.split(np.arange(model.dim), model.heads)):
            logits = q[:, part] @ k[:, part].T
            logits = (logits if hstu else logits / np.sqrt(len(part))) + b[head]
            if hstu:
                weights = np.tril(logits * sigmoid(logits)) / model.max_length
            else:
                logits[np.triu_indices(n, 1)] = -np.inf
                weights = np.exp(logits - logits.max(-1, keepdims=True))
                weights /= weights.sum(-1, keepdims=True)
            heads.append(weights @ v[:, part])
        read = np.concatenate(heads, -1)
        if hstu:
            h = h + dense(norm(read, block.read_norm) * gate, block.merge)
        else:
            h = h + dense(read, block.attention.merge)
            hidden = np.maximum(dense(norm(h, block.feed_norm), block.expand), 0)
            h = h + dense(hidden, block.contract)
    return norm(h, model.history.norm)


def reference(model: Ledger, tokens: dict[str, Array]) -> Array:
    """Scores of all items after the newest event of one history, line by line."""
    tower = model.tower
    side = array(tower.categories) @ array(tower.category_embedding)
    told, own = float(tower.trust) * norm(side, tower.norm), array(tower.own)[:, None]
    table = told + own * (norm(array(tower.ids) + side, tower.norm) - told)
    items, times, asked = (tokens[name] for name in ("items", "times", "request_times"))
    actions, strengths = tokens["actions"], tokens["strengths"]
    logarithmic, mean, deviation = array(model.strength_scale)
    level = np.log1p(strengths) if logarithmic else strengths
    grades = np.where(np.isnan(strengths), 0, (level - mean) / deviation)
    since = np.log1p(np.diff(times, prepend=times[0]) / 1000) / 10
    x = table[items] + array(model.action_embedding.embeddings)[actions]
    x = x + np.stack([grades, since], -1) @ array(model.history.event_features.kernel)
    h = encode(model, x, times)

    request = asked[-1]
    kernel = array(model.request_features.kernel)[0]
    query = h[-1] + np.log1p((request - times[-1]) / 1000) / 10 * kernel
    age = (request - times) / 86_400_000
    apart = len(items) - 1 - np.arange(len(items))
    psi = array(model.sign)[actions] + grades * array(model.sign_slope)[actions]
    gates = 2 * sigmoid(dense(query, model.gate))
    weigh = model.facet_weights
    blocks = table @ array(model.items.block.kernel)
    popularity = array(model.items.popularity)
    period = max(int((request >= np.asarray(model.items.period_starts)).sum()) - 1, 0)
    scores = softplus(dense(query, model.crowd))[0] * popularity[period]
    quality, crowd = array(model.items.quality), popularity.mean(0) - popularity.mean()
    quality = quality - quality.mean()
    scores = scores + quality - (quality @ crowd) / (crowd @ crowd) * crowd
    general, topics = model.facets - 2 * model.topics, model.topics
    members = np.ones((len(table), model.facets))
    if topics:
        shares = np.exp(table @ array(model.items.prototypes) / (0.1 * np.sqrt(model.dim)))
        members[:, general:] = np.tile(shares / shares.sum(1, keepdims=True), 2)
        gates[-topics:] = (2 * sigmoid(dense(h[-1], model.gate)))[-topics:]
    for f in range(model.facets):
        if f < general:
            part = slice(f * weigh.width, (f + 1) * weigh.width)
            q = dense(query, weigh.query)[part]
            k = (h @ array(weigh.key.kernel))[:, part]
            logits = k @ q / np.sqrt(weigh.width)
            scale = np.exp(array(weigh.log_scale)[f, 0, 0])
            logits = logits - np.exp(array(weigh.log_decay)[f, 0, 0]) * np.log1p(age / scale)
            logits = logits - np.exp(array(weigh.log_order)[f, 0, 0]) * np.log1p(apart)
            logits = logits + array(weigh.by_action)[actions, f]
            logits = logits + grades * array(weigh.by_strength)[f]
            level = array(weigh.level)[f, 0, 0] if weigh.form != "softmax" else -np.inf
            if weigh.form == "pointwise":
                a = sigmoid(logits + level)
            else:
                total = np.exp(logits).sum() + np.exp(level)
                a = np.exp(logits) / (np.sqrt(total) if weigh.form == "root" else total)
        else:
            simple, f_topic = model.topic_weights, f - general
            logits = array(simple.by_action)[actions, f_topic]
            a = np.exp(logits + grades * array(simple.by_strength)[f_topic])
            if f_topic < topics:
                a = a / (a.sum() + np.exp(array(simple.level)[f_topic, 0, 0]))
            else:
                life = np.exp(SPEED * array(simple.log_half_life)[f_topic - topics])
                a = a * 2 ** -(age / life)
        part = slice(f * model.facet_dim, (f + 1) * model.facet_dim)
        own = blocks[:, part] * members[:, f, None]
        centred = own - own.mean(0)
        values = psi[:, None] * (table[items] @ array(model.value.kernel))[:, part]
        values = values * members[items, f, None]
        for s in range(len(items)):
            scores = scores + gates[f] * a[s] * (centred @ values[s])
    return scores


@pytest.mark.parametrize(
    ("encoder", "weights", "logarithmic", "topics"),
    [
        ("sasrec", "softmax", 1, 0),
        ("hstu", "sink", 0, 0),
        ("sasrec", "root", 0, 0),
        ("sasrec", "pointwise", 1, 0),
        ("sasrec", "sink", 1, 2),
    ],
)
def test_scores_equal_a_plain_numpy_sum_of_lines(
    encoder: str, weights: str, logarithmic: int, topics: int
) -> None:
    model = small(encoder=encoder, weights=weights, facets=2 + 2 * topics, topics=topics)
    model.strength_scale.assign([logarithmic, 1.1, 0.4])
    batch = packed_batch()
    scores = np.asarray(model(batch)) @ np.asarray(model.item_matrix()).T
    for row, part in ((0, slice(0, 6)), (1, slice(0, 2)), (1, slice(2, 5)), (2, slice(0, 2))):
        history = {name: value[row, part] for name, value in batch.items()}
        expected = reference(model, history)
        got = scores[row, part.stop - 1]
        np.testing.assert_allclose(got, expected, rtol=2e-3, atol=2e-3)


def test_to_a_fresh_model_every_item_is_most_like_itself() -> None:
    model = Ledger(num_items=200, dim=32, facets=4, facet_dim=8)
    model.build()
    table = model.tower()
    values = np.asarray(model.value(table))
    blocks = np.asarray(model.item_side(table).blocks).reshape(200, -1)
    alike = values @ blocks.T
    assert (alike.argmax(axis=1) == np.arange(200)).all()
    others = alike[~np.eye(200, dtype=bool)]
    assert 0.4 < others.std() < 0.6


def test_mixed_precision_keeps_weights_ages_and_lines_in_float32() -> None:
    exact = np.asarray(small(num_categories=0)(packed_batch()))
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = small(num_categories=0)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    states = model(packed_batch())
    assert keras.backend.standardize_dtype(states.dtype) == "bfloat16"
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    reading = model.read({name: keras.ops.array(x) for name, x in packed_batch().items()})
    assert keras.backend.standardize_dtype(reading.weights.dtype) == "float32"
    # Large terms of both signs make a state: what is rounded is they, not their sum.
    np.testing.assert_allclose(np.asarray(states, np.float32), exact, atol=0.06 * abs(exact).max())


def test_cold_items_have_no_quality_and_no_part_in_that_of_others() -> None:
    model = small()
    cold = np.arange(NUM_ITEMS) % 4 == 0
    model.tower.cold.assign(cold)
    before = np.asarray(model.item_side(model.tower()).quality)
    np.testing.assert_array_equal(before[cold], 0)
    crowd = np.asarray(model.items.popularity).mean(axis=0)[~cold]
    assert abs(np.corrcoef(before[~cold], crowd)[0, 1]) < 1e-4
    changed = np.asarray(model.items.quality) + np.where(cold, 5.0, 0.0)
    model.items.quality.assign(changed)
    after = np.asarray(model.item_side(model.tower()).quality)
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_quality_says_nothing_that_popularity_says() -> None:
    model = small()
    side = model.item_side(model.tower())
    popularity = np.asarray(side.popularity).mean(0)
    assert np.abs(np.asarray(side.quality)).max() > 0.1
    assert abs(np.corrcoef(np.asarray(side.quality), popularity)[0, 1]) < 1e-4


def test_only_the_request_time_moves_the_weights_when_time_passes() -> None:
    batch = packed_batch()
    later = batch | {"request_times": batch["request_times"] + 5 * 86_400_000}
    for knows in (True, False):
        model = small(request_time=knows, num_periods=1)
        moved = np.abs(np.asarray(model(later)) - np.asarray(model(batch))).max()
        assert (moved > 1e-3) == knows


def test_half_life_is_the_age_at_which_the_age_term_halves_a_weight() -> None:
    weigh = small().facet_weights
    half = np.asarray(weigh.half_life_days())
    decay, scale = np.exp(array(weigh.log_decay)), np.exp(array(weigh.log_scale))
    np.testing.assert_allclose((1 + half / scale[:, 0, 0]) ** -decay[:, 0, 0], 0.5, rtol=1e-5)
