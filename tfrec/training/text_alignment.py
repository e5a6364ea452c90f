"""An item's id and its text point the same way, so that text alone can place a new item."""

from __future__ import annotations

from typing import Any

from keras import ops

from tfrec.models.item_tower import ItemTower
from tfrec.training.contrastive_losses import info_nce

# Items that are compared in one step, at the most.
ITEMS = 256
# Of UniSRec's contrastive pre-training: Hou et al., KDD 2022, arXiv 2206.05941, §3.1.3.
TEMPERATURE = 0.07


def id_text_alignment(tower: ItemTower, uniforms: Any) -> Any:
    """InfoNCE between E_id[i] and W_t · text_i over items that are drawn evenly.

    Arguments:
        tower: with texts; items without a text, and those whose id taught nothing, take no part.
        uniforms: float [B, L], random numbers in [0, 1); each draws an item, until there are 256.

    Returns:
        float32 scalar, `info_nce` of the distinct items among those drawn; 0 if none has a text.
    """
    draws = ops.reshape(uniforms, (-1,))[:ITEMS]
    items = ops.cast(draws * tower.num_items, "int32")  # [N]
    same = ops.equal(items[:, None], items[None, :])
    repeated = ops.any(ops.logical_and(same, ops.tri(items.shape[0], k=-1, dtype="bool")), axis=1)
    known = ops.any(ops.not_equal(ops.take(tower.texts, items, axis=0), 0.0), axis=1)
    known = ops.logical_and(known, ops.take(tower.cold, items) == 0)
    taken = ops.cast(ops.logical_and(known, ops.logical_not(repeated)), "float32")
    weights = taken / ops.maximum(ops.sum(taken), 1.0)
    return info_nce(
        ops.take(tower.ids, items, axis=0), tower.text_side(items), TEMPERATURE, weights
    )
