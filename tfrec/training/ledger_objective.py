"""What the ledger is trained for: the next event, and that its lines mean what they say."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

from tfrec.data.sequences import Float32
from tfrec.models.history_mask import history_mask
from tfrec.models.ledger import Ledger
from tfrec.models.ledger_parts import Reading
from tfrec.training import disentangling_losses, interest_losses
from tfrec.training.contrastive_losses import topic_supervision
from tfrec.training.deletion_consistency import draw_deletions, remove_one_event
from tfrec.training.exposure import group_probabilities
from tfrec.training.losses import Loss
from tfrec.training.objective import Terms
from tfrec.training.options import LossConfig
from tfrec.training.text_alignment import id_text_alignment

# CLSR (arXiv 2202.13090) leaves out histories of at most 5 events and calls the last 3 recent.
SHORTEST, RECENT = 5, 3
# Items on which the independence of facet blocks is measured in one step.
INDEPENDENCE_ITEMS = 256
# Times the squared size of the liking vectors of a target.
LIKING_DECAY = 0.02
# Lines whose square is well below this share of the mean one hardly count.
DELETION_FLOOR = 0.1
# Weight of the ranking loss without dropout: as little as keeps both modes alike. At 1 a sparse log
# is learned by heart, because half of what is learned there no dropout protects.
CLEAN_RANKING = 0.25
MOVED = ("items", "times", "actions", "strengths")
TOKENS = (*MOVED, "segments", "positions", "request_times")


class LedgerObjective:
    """The ranking loss plus every auxiliary loss whose strength is above 0.

    Arguments:
        ranking: the loss over the catalogue, see `tfrec.training.losses`.
        config: the strengths.
        replicas: how many copies of the objective share one step. A loss that is no sum over
            examples is then the mean of the copies' own.
        exposure_target: see `tfrec.training.exposure`; None for none.

    Call arguments:
        model: a `Ledger`.
        batch: of `TrainingBatches` with `negatives` and `uniforms`.

    Returns:
        The weighted terms by name; the loss is their sum.
    """

    def __init__(
        self,
        ranking: Loss,
        config: LossConfig,
        replicas: int = 1,
        exposure_target: Float32 | None = None,
    ) -> None:
        self.ranking = ranking
        self.config = config
        self.share = 1 / replicas
        self.exposure_target = exposure_target
        self.deletion_strength = keras.Variable(0.0, dtype="float32", trainable=False)
        self.conformity_strength = keras.Variable(0.0, dtype="float32", trainable=False)

    def start_epoch(self, epoch: int) -> None:
        """Deletion consistency comes in slowly; DICE weakens its pairs from epoch to epoch."""
        config = self.config
        risen = min(1.0, epoch / config.deletion_warmup) if config.deletion_warmup else 1.0
        self.deletion_strength.assign(config.deletion_loss * risen)
        self.conformity_strength.assign(config.conformity_loss * config.conformity_decay**epoch)

    def __call__(self, model: Ledger, batch: dict[str, Any]) -> Terms:
        config, share = self.config, self.share
        reading = model.read(batch, training=True)
        states = reading.state()
        matrix = model.item_side(reading.embeddings).matrix()
        terms = {"ranking": self.ranking(states, ops.cast(matrix, states.dtype), batch)}
        quality = ops.convert_to_tensor(model.items.quality)
        terms["quality"] = share * config.quality_decay * ops.mean(ops.square(quality))
        if config.deletion_loss:
            rows = max(1, round(config.deletion_rows * share))
            gap, clean, part = deletion_consistency(model, batch, ops.cast(matrix, "float32"), rows)
            terms["deletion"] = share * self.deletion_strength * gap
            # That pass knows no dropout. Were it not to rank as well, the model would learn to be
            # consistent there, where validation and serving are, and to rank in the other mode.
            weights = ops.cast(part["segments"] > 0, "float32")
            part["weights"] = weights / ops.maximum(ops.sum(weights), 1.0)
            clean = ops.cast(clean, states.dtype)
            ranking = self.ranking(clean, ops.cast(matrix, states.dtype), part)
            terms["clean ranking"] = share * CLEAN_RANKING * ranking
        parts = _Parts.of(model, reading, states, matrix, batch)
        if config.strength_loss and "target_strengths" in batch:
            terms["strength"] = config.strength_loss * strength(model, reading, parts, batch)
        if config.pointwise_loss:
            terms["pointwise"] = config.pointwise_loss * pointwise(model, parts, batch)
        if config.long_short_loss and model.facets > 1:
            terms["long short"] = config.long_short_loss * long_short(model, reading, parts, batch)
        if config.conformity_loss:
            terms["conformity"] = self.conformity_strength * conformity(parts, batch)
        if config.independence_loss and model.facets > 1:
            blocks = ops.reshape(parts.target_blocks, (-1, model.facets, model.facet_dim))
            step = max(1, blocks.shape[0] // INDEPENDENCE_ITEMS)
            independence = disentangling_losses.block_independence(
                ops.cast(blocks[::step][:INDEPENDENCE_ITEMS], "float32")
            )
            terms["independence"] = share * config.independence_loss * independence
        if config.topic_loss and model.topics and model.tower.num_categories:
            shares = model.items.membership(reading.embeddings)[:, -model.topics :]
            supervision = topic_supervision(
                shares, model.items.category_given_topic, model.tower.categories
            )
            terms["topic"] = share * config.topic_loss * supervision
        if config.exposure_loss and self.exposure_target is not None:
            shown = group_probabilities(states, matrix, model.tower.categories, batch)
            even = ops.ones_like(shown[:, 0]) / shown.shape[0]
            divergence = interest_losses.exposure_divergence(shown, self.exposure_target, even)
            terms["exposure"] = share * config.exposure_loss * divergence
        if config.text_loss and model.tower.text_dim:
            alignment = id_text_alignment(model.tower, batch["uniforms"])
            terms["text"] = share * config.text_loss * alignment
        if config.balance_loss and model.facets > 1:
            shares = ops.abs(parts.target_facets)
            shares = shares / ops.maximum(ops.sum(shares, axis=-1, keepdims=True), 1e-6)
            terms["balance"] = config.balance_loss * disentangling_losses.facet_balance(
                ops.reshape(shares, (-1, model.facets)), ops.reshape(batch["weights"], (-1,))
            )
        return terms


class _Parts(NamedTuple):
    """The ledger of every target and every negative, in float32.

    facets u [B, L, K, d]; target_blocks [B, L, K, d]; target_facets Σ_s c_fs(y) [B, L, K];
    negative_facets [B, L, M]; target_crowd, negative_crowd κ·lp [B, L], [B, L, M]; target_score,
    negative_score [B, L], [B, L, M]; more_popular [B, L, M].
    """

    facets: Any
    target_blocks: Any
    target_facets: Any
    negative_facets: Any
    target_crowd: Any
    negative_crowd: Any
    target_score: Any
    negative_score: Any
    more_popular: Any

    @classmethod
    def of(
        cls,
        model: Ledger,
        reading: Reading,
        states: Any,
        matrix: Any,
        batch: dict[str, Any],
    ) -> _Parts:
        targets, negatives = batch["targets"], batch["negatives"]
        width = model.facets * model.facet_dim
        states = ops.cast(states, "float32")
        matrix = ops.cast(matrix, "float32")
        own = ops.take(matrix, targets, axis=0)  # [B, L, S]
        others = ops.transpose(ops.take(matrix, negatives, axis=0), (0, 2, 1))  # [B, S, M]
        product = states * own
        shape = (*ops.shape(targets), model.facets, model.facet_dim)
        crowd = slice(width, width + model.num_periods)
        popularity = ops.cast(reading.period, "float32")
        return cls(
            facets=ops.reshape(states[..., :width], shape),
            target_blocks=ops.reshape(own[..., :width], shape),
            target_facets=ops.sum(ops.reshape(product[..., :width], shape), axis=-1),
            negative_facets=ops.matmul(states[..., :width], others[:, :width]),
            target_crowd=ops.sum(product[..., crowd], axis=-1),
            negative_crowd=ops.matmul(states[..., crowd], others[:, crowd]),
            target_score=ops.sum(product, axis=-1),
            negative_score=ops.matmul(states, others),
            more_popular=ops.matmul(popularity, others[:, crowd])
            > ops.sum(popularity * own[..., crowd], axis=-1, keepdims=True),
        )


def strength(model: Ledger, reading: Reading, parts: _Parts, batch: dict[str, Any]) -> Any:
    """Huber loss of the strength read-out on standardised strengths, and its vectors' decay."""
    blocks = parts.target_blocks
    graded = ops.cast(reading.graded(), "float32")
    predicted = model.strength.predict(
        items=batch["targets"],
        habit=reading.habit,
        crowd=parts.target_crowd,
        facets=parts.target_facets,
        graded=ops.sum(graded * blocks, axis=-1),
        liking=model.strength.liking(batch["items"], reading.grades, reading.habit, reading.known),
    )
    wanted = batch["target_strengths"]
    missing = ops.isnan(wanted)
    target = ops.where(missing, wanted, model.standardised(wanted))
    sizes = ops.where(missing, 0.0, model.strength.sizes(batch["targets"]))
    decay = LIKING_DECAY * ops.sum(batch["weights"] * sizes)
    return interest_losses.strength_huber(predicted, target, batch["weights"]) + decay


def pointwise(model: Ledger, parts: _Parts, batch: dict[str, Any]) -> Any:
    """Sigmoid cross-entropy of target against negatives on a line through the score."""
    return interest_losses.pointwise_calibration(
        model.engagement(parts.target_score),
        model.engagement(parts.negative_score),
        batch["weights"],
    )


def long_short(model: Ledger, reading: Reading, parts: _Parts, batch: dict[str, Any]) -> Any:
    """The lasting facet resembles the whole history, the momentary one its last events."""
    order = ops.argsort(model.half_life_days())
    items = batch["items"]
    place = ops.arange(items.shape[1])
    apart = place[:, None] - place[None, :]
    real = ops.cast(items >= 0, "float32")[:, None, :]
    whole = ops.cast(history_mask(batch["segments"]), "float32") * real
    recent = whole * ops.cast(apart < RECENT, "float32")
    known = ops.sum(whole, axis=-1)
    weights = batch["weights"] * ops.cast(known > SHORTEST, "float32")
    values = ops.cast(reading.values, "float32")

    def pulled(facet: Any, near_recent: bool) -> Any:
        value = ops.take(values, facet, axis=2)  # [B, L, d]
        interest = ops.take(parts.facets, facet, axis=2)
        all_mean = ops.matmul(whole, value) / ops.maximum(known, 1.0)[..., None]
        count = ops.maximum(ops.sum(recent, axis=-1), 1.0)[..., None]
        recent_mean = ops.matmul(recent, value) / count
        near, far = (recent_mean, all_mean) if near_recent else (all_mean, recent_mean)
        return disentangling_losses.long_short_contrast(interest, near, far, weights)

    return pulled(order[-1], False) + pulled(order[0], True)


def conformity(parts: _Parts, batch: dict[str, Any]) -> Any:
    """DICE's pairs between the facets together (interest) and the crowd line."""
    return disentangling_losses.conformity_pairs(
        ops.sum(parts.target_facets, axis=-1),
        parts.negative_facets,
        parts.target_crowd,
        parts.negative_crowd,
        parts.more_popular,
        batch["weights"],
    )


def deletion_consistency(
    model: Ledger, batch: dict[str, Any], matrix: Any, rows: int
) -> tuple[Any, Any, dict[str, Any]]:
    """How far an event's line is from what deleting the event does, relative to the size of both.

        (Δ − c_e)² / (Δ² + c_e² + floor),   Δ = s(H) − s(H without e)

    for one deleted event e of every history of so many rows, drawn at random, at every later
    request of the history: for the item that came next, and as a mean square over the catalogue.
    H without e is encoded again. Being relative, it cannot be lowered by making all lines small,
    which a plain square rewards; the floor, a share of the mean size in the step, keeps lines near
    0 from mattering.

    Returns:
        The loss, the states [R, L, S] of the chosen rows without dropout, and these rows' batch.
    """
    rows = min(rows, batch["items"].shape[0])
    chosen = ops.argsort(batch["uniforms"][:, 0])[:rows]
    part = {name: ops.take(array, chosen, axis=0) for name, array in batch.items()}
    deleted = draw_deletions(part["segments"], part["uniforms"], newest=True)
    shorter = remove_one_event(part, deleted, MOVED)
    # Where nothing is left, the request stands alone, as an empty history does in ranking.
    left = shorter["items"] >= 0
    shorter["segments"] = ops.where(left, part["segments"], -part["segments"])
    # One pass for both: half the graph to compile.
    names = [*TOKENS, *(["texts"] if "texts" in part else [])]
    both = {name: ops.concatenate([part[name], shorter[name]]) for name in names}
    reading = model.read(both)
    before, states = reading.first(rows), reading.state()
    gone = ops.cast(deleted, before.weights.dtype)[:, None, None, :]
    width = model.facets * model.facet_dim
    line = before.facets(before.weights * gone)
    line = ops.reshape(line, (*ops.shape(part["items"]), width))
    change = states[:rows] - states[rows:]
    line = ops.pad(line, ((0, 0), (0, 0), (0, change.shape[-1] - width)))  # [R, L, S]

    after = ops.logical_and(history_mask(part["segments"]), deleted[:, None, :])
    asked = ops.any(after, axis=-1)
    weights = ops.cast(asked, "float32")
    weights = weights / ops.maximum(ops.sum(weights), 1.0)
    own = ops.take(matrix, part["targets"], axis=0)
    spread = ops.matmul(ops.transpose(matrix), matrix) / matrix.shape[0]

    def squares(x: Any) -> tuple[Any, Any]:
        """The square of a score made of x: of the item that came next, and of a mean item."""
        x = ops.cast(x, "float32")
        return ops.square(ops.sum(x * own, axis=-1)), ops.sum(ops.matmul(x, spread) * x, axis=-1)

    total: Any = 0.0
    parts = zip(squares(change - line), squares(line), squares(change), strict=True)
    for wrong, said, real in parts:
        size = said + real
        floor = DELETION_FLOOR * ops.stop_gradient(ops.sum(weights * size))
        total += ops.sum(weights * wrong / (size + floor + 1e-9)) / 2.0
    return total, states[:rows], part
