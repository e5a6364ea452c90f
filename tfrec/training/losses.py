"""Next-item losses: from states and item vectors to one scalar.

Each takes the whole batch and returns Σ weights · loss, so that a batch split over replicas sums
to the same loss and gradient as the batch on one.
"""

from __future__ import annotations

from typing import Any, Protocol

from keras import ops

from tfrec.data.sequences import Bool
from tfrec.models.history_mask import history_mask

# Positions whose logits are alive at one time in the full softmax. A block of 512 x 3,416 logits
# stays in a CPU's cache; the whole batch would be 25,000 x 3,416.
BLOCK = 512
# A logit that takes no part, finite so that nothing becomes NaN.
MASKED = -1e9


class Loss(Protocol):
    """states [B, L, D], item_matrix [I, D], batch -> scalar Σ weights · loss."""

    def __call__(self, states: Any, item_matrix: Any, batch: dict[str, Any]) -> Any: ...


def full_cross_entropy(keep_seen: bool, cold: Bool | None = None) -> Loss:
    """Cross-entropy against the whole catalogue: −log softmax(states · item_matrixᵀ)[target].

    Klenitskiy & Vasilev, RecSys 2023, arXiv 2309.07602, eq. 4. The logits are never held whole:
    some rows go forward and their gradient is made at once, while their logits are in cache.

    Arguments:
        keep_seen: whether items of the history so far stay in the sum. Where rankings leave them
            out they compete for no choice, and without this a model spends weights on pushing each
            of them down. A target that is in its own history stays.
        cold: bool [I], items that stand in no sum: nobody could take them yet, so that nobody took
            them says nothing; see `tfrec.models.build.cold_items`. None for none.

    The batch needs `targets` int [B, L], `weights` float [B, L] and, to leave out what was seen,
    `items` and `segments` int [B, L]: the history of a target is the tokens of its segment up to
    its own column.

    Example:
        Of two items the history holds one, so the other one is certain.

        >>> batch = {name: ops.array([[1]]) for name in ("segments", "targets")}
        >>> batch |= {"items": ops.array([[0]]), "weights": ops.array([[1.0]])}
        >>> states, item_matrix = ops.zeros((1, 1, 4)), ops.zeros((2, 4))
        >>> float(full_cross_entropy(keep_seen=False)(states, item_matrix, batch))
        0.0
        >>> float(full_cross_entropy(keep_seen=True)(states, item_matrix, batch))
        0.6931...
    """
    used = ("targets", "weights") if keep_seen else ("targets", "weights", "items", "segments")

    def loss(states: Any, item_matrix: Any, batch: dict[str, Any]) -> Any:
        _check(states, item_matrix, batch)
        length = states.shape[1]
        rows = max(1, BLOCK // length)
        missing = -ops.shape(states)[0] % rows
        parts = {name: ops.pad(batch[name], ((0, missing), (0, 0))) for name in used}
        padded = ops.pad(states, ((0, missing), (0, 0), (0, 0)))
        return _blocked_cross_entropy(padded, item_matrix, parts, rows, cold)

    return loss


def _blocked_cross_entropy(
    states: Any, item_matrix: Any, parts: dict[str, Any], rows: int, cold: Bool | None
) -> Any:
    length, dim, num_items = states.shape[1], states.shape[2], item_matrix.shape[0]
    transposed = ops.transpose(item_matrix)
    catalogue = ops.arange(num_items, dtype=parts["targets"].dtype)

    def one_block(number: Any, carry: Any) -> Any:
        loss, matrix_gradient, state_gradient = carry
        first = number * rows
        state = ops.slice(states, (first, 0, 0), (rows, length, dim))
        part = {name: ops.slice(x, (first, 0), (rows, length)) for name, x in parts.items()}
        weight = part["weights"]
        hot = ops.equal(part["targets"][..., None], catalogue)
        logits = ops.cast(ops.matmul(state, transposed), "float32")  # [rows, length, items]
        out = []
        if "items" in part:
            out.append(_seen(part["segments"], part["items"], part["targets"], num_items))
        if cold is not None:
            out.append(ops.convert_to_tensor(cold))
        for absent in out:
            logits = ops.where(ops.logical_and(absent, ops.logical_not(hot)), MASKED, logits)
        peak = ops.max(logits, axis=-1, keepdims=True)
        unnormalised = ops.exp(logits - peak)
        total = ops.sum(unnormalised, axis=-1, keepdims=True)
        positive = ops.sum(ops.where(hot, logits, 0.0), axis=-1)
        loss += ops.sum(weight * (ops.log(total[..., 0]) + peak[..., 0] - positive))
        # d loss / d logits = weight · (softmax − one-hot)
        residual = unnormalised * (weight[..., None] / total)
        residual -= ops.where(hot, weight[..., None], 0.0)
        residual = ops.reshape(ops.cast(residual, state.dtype), (rows * length, num_items))
        flat = ops.reshape(state, (rows * length, dim))
        matrix_gradient += ops.cast(ops.matmul(ops.transpose(residual), flat), "float32")
        by_state = ops.reshape(ops.matmul(residual, item_matrix), state.shape)
        return loss, matrix_gradient, ops.slice_update(state_gradient, (first, 0, 0), by_state)

    @ops.custom_gradient
    def loss_with_gradient(states: Any, item_matrix: Any) -> Any:
        start = (
            ops.zeros((), "float32"),
            ops.zeros((num_items, dim), "float32"),
            ops.zeros_like(states),
        )
        loss, matrix_gradient, state_gradient = ops.fori_loop(
            0, ops.shape(states)[0] // rows, one_block, start
        )

        def gradient(upstream: Any) -> Any:
            return (
                state_gradient * ops.cast(upstream, state_gradient.dtype),
                ops.cast(matrix_gradient * upstream, item_matrix.dtype),
            )

        return loss, gradient

    return loss_with_gradient(states, item_matrix)


def _seen(segments: Any, items: Any, targets: Any, num_items: int) -> Any:
    """bool [B, L, I]: the history of this column holds the item, or it is the column's target.

    Scattered pair by pair: as a product of [L, L] and [L, I] it would cost as much as the logits.
    """
    rows, length = segments.shape
    # A pair that is no history, or no item but a text, marks the column's target, which stays.
    listed = ops.logical_and(items >= 0, items < num_items)
    held = ops.logical_and(history_mask(segments), listed[:, None, :])
    marked = ops.reshape(ops.where(held, items[:, None, :], targets[:, :, None]), (-1,))
    columns = ops.repeat(ops.arange(rows * length, dtype=marked.dtype), length)
    nothing = ops.zeros((rows * length, num_items), "bool")
    found = ops.scatter_update(
        nothing, ops.stack([columns, marked], axis=1), ops.ones(marked.shape, "bool")
    )
    return ops.reshape(found, (rows, length, num_items))


def sampled_softmax(negative_log_probabilities: Any, keep_seen: bool) -> Loss:
    """Softmax over the target and the row's drawn negatives, with the corrected logQ correction.

    Bengio & Senécal 2008 introduced the correction s_j − log Q(j). Khrylchenko et al., RecSys
    2025, arXiv 2507.09331, eq. 10: the target is in the sum with probability one, so it must not be
    corrected; the exact gradient then carries the weight 1 − p(target), estimated from the same
    negatives. A negative that equals the target is taken out of the sum.

    Arguments:
        negative_log_probabilities: float [I], log of the probability with which an item is drawn.
        keep_seen: see `full_cross_entropy`.

    The batch also needs `negatives` int [B, n].
    """

    def loss(states: Any, item_matrix: Any, batch: dict[str, Any]) -> Any:
        _check(states, item_matrix, batch)
        positive, negative = _sampled_logits(states, item_matrix, batch, keep_seen)
        drawn = batch["negatives"]
        log_q = ops.take(ops.cast(negative_log_probabilities, "float32"), drawn)  # [B, n]
        count = ops.log(ops.cast(ops.shape(drawn)[-1], "float32"))
        negative = negative - (log_q + count)[:, None, :]  # Σ exp(negative) estimates Σ_j exp(s_j)
        others = ops.logsumexp(negative, axis=-1)
        misclassified = ops.stop_gradient(ops.sigmoid(others - positive))  # 1 − p(target)
        return ops.sum(batch["weights"] * misclassified * (others - positive))

    return loss


def gbce(num_items: int, calibration: float, keep_seen: bool) -> Loss:
    """Generalised binary cross-entropy: BCE whose positive probability is raised to β.

    Petrov & Macdonald, RecSys 2023, arXiv 2308.07192, eq. 9 and 12. With α = n / (I − 1) the
    sampling rate and t the calibration, β = α (t (1 − 1/α) + 1/α): t = 0 is plain BCE, t = 1
    makes the probabilities calibrated. Negatives are uniform.

    Arguments:
        num_items: size of the catalogue, I.
        calibration: t, between 0 and 1.
        keep_seen: see `full_cross_entropy`.

    The batch also needs `negatives` int [B, n].
    """

    def loss(states: Any, item_matrix: Any, batch: dict[str, Any]) -> Any:
        _check(states, item_matrix, batch)
        positive, negative = _sampled_logits(states, item_matrix, batch, keep_seen)
        rate = batch["negatives"].shape[-1] / max(num_items - 1, 1)
        beta = rate * (calibration * (1 - 1 / rate) + 1 / rate)
        # −log σ(s)^β = β softplus(−s); −log(1 − σ(s)) = softplus(s)
        summed = ops.sum(ops.softplus(negative), axis=-1)
        return ops.sum(batch["weights"] * (beta * ops.softplus(-positive) + summed))

    return loss


def _sampled_logits(
    states: Any, item_matrix: Any, batch: dict[str, Any], keep_seen: bool
) -> tuple[Any, Any]:
    """Logits of the targets [B, L] and of the row's negatives [B, L, n]; a drawn target is out."""
    drawn, targets = batch["negatives"], batch["targets"]
    target_vectors = ops.take(item_matrix, targets, axis=0)  # [B, L, D]
    drawn_vectors = ops.take(item_matrix, drawn, axis=0)  # [B, n, D]
    positive = ops.cast(ops.sum(states * target_vectors, axis=-1), "float32")
    negative = ops.matmul(states, ops.transpose(drawn_vectors, (0, 2, 1)))
    out = ops.equal(targets[:, :, None], drawn[:, None, :])
    if not keep_seen:
        held = ops.cast(batch["items"][:, :, None] == drawn[:, None, :], "float32")
        history = ops.cast(history_mask(batch["segments"]), "float32")
        out = ops.logical_or(out, ops.matmul(history, held) > 0)
    return positive, ops.where(out, MASKED, ops.cast(negative, "float32"))


def _check(states: Any, item_matrix: Any, batch: dict[str, Any]) -> None:
    if len(states.shape) != 3 or len(item_matrix.shape) != 2:
        raise ValueError(
            f"states must be [batch, length, dim] and item_matrix [items, dim]; "
            f"got {tuple(states.shape)} and {tuple(item_matrix.shape)}"
        )
    if states.shape[-1] != item_matrix.shape[-1]:
        raise ValueError(
            f"states have width {states.shape[-1]}, item_matrix {item_matrix.shape[-1]}"
        )
    if len(batch["targets"].shape) != 2 or batch["targets"].shape != batch["weights"].shape:
        raise ValueError(
            f"targets and weights must both be [batch, length]; got "
            f"{tuple(batch['targets'].shape)} and {tuple(batch['weights'].shape)}"
        )
