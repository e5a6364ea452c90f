"""What training fitted to validation, as a graph: scores -> probabilities and strengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfrec.interest.fitting.calibrators import TAIL, Isotonic, Platt
from tfrec.interest.fitting.engagement import Engagement
from tfrec.interest.fitting.strength_link import FARTHEST, StrengthLink
from tfrec.interest.readouts import GradeLink

# Everything in float64, as it was fitted: knots may lie closer than float32 can tell.


def engaged(readout: Engagement, scores: Any) -> Any:
    """P(engaged) of scores, float32 of their shape."""
    x = tf.cast(scores, tf.float64)
    curve: Isotonic | Platt = readout.isotonic or readout.platt
    found = _isotonic(curve, x) if isinstance(curve, Isotonic) else _platt(curve, x)
    return tf.cast(found, tf.float32)


def expected_strength(link: StrengthLink | GradeLink, predictions: Any) -> Any:
    """Mean strength of standardised predictions, float32 of their shape."""
    z = tf.cast(predictions, tf.float64)[..., None]
    if isinstance(link, GradeLink):
        above = tf.sigmoid(link.link.scale * z - link.link.thresholds)
        found = link.values[0] + tf.reduce_sum(above * np.diff(link.values), axis=-1)
    else:
        logged = tf.clip_by_value(link.offset + link.slope * z + link.errors, -FARTHEST, FARTHEST)
        found = tf.reduce_mean(tf.sign(logged) * tf.math.expm1(tf.abs(logged)), axis=-1)
    return tf.cast(found, tf.float32)


def _platt(curve: Platt, x: Any) -> Any:
    return tf.sigmoid(curve.slope * x + curve.offset)


def _isotonic(curve: Isotonic, x: Any) -> Any:
    knots_x, knots_y = curve.knots_x, curve.knots_y
    inside = tf.fill(tf.shape(x), tf.constant(knots_y[0], tf.float64))
    if len(knots_x) > 1:
        held = tf.clip_by_value(x, knots_x[0], knots_x[-1])
        place = tf.searchsorted(tf.constant(knots_x), tf.reshape(held, [-1]), side="right") - 1
        place = tf.reshape(tf.clip_by_value(place, 0, len(knots_x) - 2), tf.shape(x))
        slopes = np.diff(knots_y) / np.diff(knots_x)
        inside = tf.gather(knots_y, place) + tf.gather(slopes, place) * (
            held - tf.gather(knots_x, place)
        )
    below = tf.maximum(knots_x[0] - x, 0.0)
    above = tf.maximum(x - knots_x[-1], 0.0)
    lowered = inside / (1.0 + TAIL * below)
    return lowered + (1.0 - lowered) * (TAIL * above / (1.0 + TAIL * above))
