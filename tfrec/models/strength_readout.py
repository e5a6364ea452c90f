"""How strong an engagement will be: a linear read-out of the ledger, beside the ranking score."""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import ops

from tfrec.data.strengths import PRIOR_EVENTS

LIKING_DIM = 16


@keras.saving.register_keras_serializable("tfrec")
class StrengthReadout(keras.layers.Layer):
    """Expected strength of user u for item i, standardised, from the same lines and two more.

        z(u,i,t) = b + w·habit_u + γ_i + ρ_0·κ lp_i + Σ_f Σ_s (ρ_f + ρ'_f (e_s − habit_u)) c_fs(i)
                 + Σ_s <q_i, (e_s − habit_u)·x_s + y_s> / √(n + 5)

    Popularity is not liking, so the rate of engagement and its strength cannot share one monotone
    link. A past event says how far its strength lay above what its item gets, e_s = z_s − γ_s, and
    above what the user gives, habit = Σ_s e_s / (n + 5), over the n events with a strength: those
    liked better than expected speak for the item, the others against it. They speak by the lines
    of the ledger, with ρ, ρ' ≥ 0, and by vectors of their own: who engages with both of two items
    need not like both (the asymmetric SVD of Koren, "Factorization meets the neighborhood", KDD
    2008, section 4, one sum for explicit and implicit events). Still a sum over events.

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
        exact = functools.partial(self.add_weight, autocast=False)
        self.bias = exact(shape=(), initializer="zeros", name="bias")
        self.by_habit = exact(shape=(), initializer="ones", name="by_habit")
        self.by_item = exact(shape=(self.num_items,), initializer="zeros", name="by_item")
        self.by_crowd = exact(shape=(), initializer="zeros", name="by_crowd")
        self.by_facet = exact(shape=(self.facets,), initializer=small, name="by_facet")
        self.by_grade = exact(shape=(self.facets,), initializer=small, name="by_grade")
        # q, x and y.
        vectors: dict[str, Any] = {
            "shape": (self.num_items, LIKING_DIM),
            "initializer": keras.initializers.RandomNormal(stddev=0.1),
        }
        self.target_vectors = exact(name="target_vectors", **vectors)
        self.grade_vectors = exact(name="grade_vectors", **vectors)
        self.event_vectors = exact(name="event_vectors", **(vectors | {"initializer": "zeros"}))
        self.built = True

    def grades(self, items: Any, strengths: Any, rated: Any) -> Any:
        """e_s, 0 where there is no strength, [B, L].

        Arguments:
            items: int [B, L], -1 pads. strengths: standardised, [B, L]; rated: where there is one.
        """
        usual = ops.take(ops.convert_to_tensor(self.by_item), self._of_items(items))
        return ops.where(rated, strengths - ops.cast(usual, strengths.dtype), 0.0)

    def liking(self, items: Any, grades: Any, habit: Any, known: Any) -> Any:
        """Σ_s ((e_s − habit)·x_s + y_s) / √(n + 5) at every request, float32 [B, L, 16].

        Arguments:
            items: int [B, L], -1 pads. grades: e, [B, L]. habit: at every request, [B, L].
            known: bool [B, request, event], the events with a strength that the request reads.
        """
        x, y = self._event_vectors(items)
        seen, share = _seen(known)
        said = ops.matmul(seen, grades[..., None] * x + y)
        return share[..., None] * (said - habit[..., None] * ops.matmul(seen, x))

    def newest_liking(self, items: Any, grades: Any, habit: Any, known: Any) -> Any:
        """The summands of `liking` at the newest request, event by event, float32 [B, L, 16]."""
        x, y = self._event_vectors(items)
        seen, share = _seen(known)
        said = (grades - habit[:, -1:])[..., None] * x + y
        return (seen[:, -1] * share[:, -1:])[..., None] * said

    def _event_vectors(self, items: Any) -> tuple[Any, Any]:
        return tuple(
            ops.cast(ops.take(table, self._of_items(items), axis=0), "float32")
            for table in (self.grade_vectors, self.event_vectors)
        )

    def _of_items(self, items: Any) -> Any:
        """Padding and texts have no strength: any row does for them."""
        return ops.clip(items, 0, self.num_items - 1)

    def predict(
        self, items: Any, habit: Any, crowd: Any, facets: Any, graded: Any, liking: Any
    ) -> Any:
        """Standardised strength.

        Arguments:
            items: int [...]; habit, crowd: float [...], the user's mean grade and κ·lp_i.
            facets: Σ_s c_fs(i), float [..., K]; graded: Σ_s (e_s − habit) c_fs(i), float [..., K].
            liking: what `liking` gives, float [..., 16].
        """
        return (
            self.bias
            + self.by_habit * habit
            + ops.take(self.by_item, items)
            + self.by_crowd * crowd
            + ops.sum(ops.softplus(self.by_facet) * facets, axis=-1)
            + ops.sum(ops.softplus(self.by_grade) * graded, axis=-1)
            + ops.sum(ops.take(self.target_vectors, items, axis=0) * liking, axis=-1)
        )

    def sizes(self, items: Any) -> Any:
        """|q_i|² + |x_i|² + |y_i|² of each item: int [...] -> float [...]."""
        tables = (self.target_vectors, self.grade_vectors, self.event_vectors)
        return ops.sum(sum(ops.square(ops.take(table, items, axis=0)) for table in tables), axis=-1)

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return config | {"num_items": self.num_items, "facets": self.facets}


def _seen(known: Any) -> tuple[Any, Any]:
    """`known` as numbers, and 1/√(n + 5) of every request, [B, L]."""
    seen = ops.cast(known, "float32")
    return seen, ops.rsqrt(ops.sum(seen, axis=-1) + PRIOR_EVENTS)
