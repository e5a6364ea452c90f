"""How strong an engagement will be: a linear read-out of the ledger, beside the ranking score."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("tfrec")
class StrengthReadout(keras.layers.Layer):
    """Expected strength of user u for item i, in standardised log1p units, from the same lines.

        z(u,i,t) = b + w·habit_u + γ_i + ρ_0·κ lp_i + Σ_f ρ_f Σ_s c_fs(i) + Σ_f ρ'_f Σ_s z_s c_fs(i)

    Popularity is not liking, so the rate of engagement and its strength cannot share one monotone
    link. ρ ≥ 0; the second sum weights every past event by how strong it was (z_s): the neighbours
    that were liked speak for the item, those that were not speak against it (Koren, KDD 2008,
    "Factorization meets the neighborhood", eq. 15). Still a sum over events and facets.

    Arguments:
        num_items: size of the catalogue, I.
        facets: K.
    """

    def __init__(self, num_items: int, facets: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_items = num_items
        self.facets = facets

    def build(self, input_shape: Any = None) -> None:
        small = keras.initializers.Constant(-2.0)
        self.bias = self.add_weight(shape=(), initializer="zeros", name="bias")
        self.by_habit = self.add_weight(shape=(), initializer="ones", name="by_habit")
        self.by_item = self.add_weight(shape=(self.num_items,), initializer="zeros", name="by_item")
        self.by_crowd = self.add_weight(shape=(), initializer="zeros", name="by_crowd")
        self.by_facet = self.add_weight(shape=(self.facets,), initializer=small, name="by_facet")
        self.by_grade = self.add_weight(shape=(self.facets,), initializer=small, name="by_grade")
        self.built = True

    def predict(self, items: Any, habit: Any, crowd: Any, facets: Any, graded: Any) -> Any:
        """Standardised strength.

        Arguments:
            items: int [...]; habit, crowd: float [...], the user's shrunken mean grade and κ·lp_i.
            facets: Σ_s c_fs(i), float [..., K]; graded: Σ_s z_s c_fs(i), float [..., K].
        """
        return (
            self.bias
            + self.by_habit * habit
            + ops.take(self.by_item, items)
            + self.by_crowd * crowd
            + ops.sum(ops.softplus(self.by_facet) * facets, axis=-1)
            + ops.sum(ops.softplus(self.by_grade) * graded, axis=-1)
        )

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return config | {"num_items": self.num_items, "facets": self.facets}
