"""The answers that only a ledger gives, one method per signature of `export.signatures`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from export.graph.answers import Answer, Answers, Asked, per_user
from export.graph.history import in_request_order
from export.graph.learning import learn
from export.graph.ledger import LedgerReader
from export.graph.sentences import Lines, Sentences
from export.graph.shares import line_shares


class LedgerAnswers:
    """Answers requests about lines.

    Arguments:
        answers: of the same run.
        reader: its reader.
        sentences: of its items and facets.
        facet_names: K. half_life_days: float [K].
    """

    def __init__(
        self,
        answers: Answers,
        reader: LedgerReader,
        sentences: Sentences,
        facet_names: Sequence[str],
        half_life_days: npt.NDArray[np.floating],
    ) -> None:
        self._answers = answers
        self._catalogue = answers.catalogue
        self._reader = reader
        self._sentences = sentences
        self._names = tf.constant([name.encode() for name in facet_names], tf.string)
        self._half_lives = tf.constant(half_life_days, tf.float32)

    def explain(self, asked: Asked, candidate_items: Any) -> Answer:
        user = asked.user
        numbers = self._catalogue.numbers(candidate_items)
        vectors = self._catalogue.vectors(numbers)
        items = self._reader.parts(vectors)
        of_events = in_request_order(user.events, user.place)  # [B, L, K, d]
        lines = tf.einsum("blkd,bmkd->bmlk", of_events, items.blocks)
        conformity = tf.einsum("bw,bmw->bm", user.crowd, items.popularity)
        context = tf.zeros_like(conformity)
        if user.context is not None:
            context = tf.einsum("bd,bmd->bm", user.context, items.context)
        score = tf.einsum("bs,bms->bm", user.state, vectors)
        told = tf.reduce_sum(lines, axis=[2, 3]) + items.quality + conformity + context
        events = asked.events if asked.told is None else asked.told.events
        words = None if asked.told is None else asked.told.words
        text = self._sentences.tell(
            events, numbers, Lines(lines, items.quality, conformity, context), words
        )
        said = {}
        if asked.told is not None:
            by_event = tf.transpose(lines, [0, 2, 1, 3])  # [B, L + Q, M, K]
            of_texts = asked.told.of_texts(by_event)
            said["told_contributions"] = tf.transpose(of_texts, [0, 2, 1, 3])
            lines = tf.transpose(asked.told.of_request(by_event), [0, 2, 1, 3])
        return said | {
            "event_contributions": lines,
            "quality": items.quality,
            "conformity": conformity,
            "context": context,
            "score": score,
            "residual_error": score - told,
            "text": text,
            "known": numbers >= 0,
        }

    def facets(self, asked: Asked) -> Answer:
        shares, crowd_share = self._shares(asked)
        return {
            "facet_names": per_user(asked, self._names),
            "user_facets": asked.user.facets,
            "gates": asked.user.gates,
            "half_life_days": per_user(asked, self._half_lives),
            "shares": shares,
            "crowd_share": crowd_share,
        }

    def evolve(self, asked: Asked, checkpoint_times: Any) -> Answer:
        def at(time: Any) -> tuple[Any, Any]:
            then = self._answers.read(asked.events.before(time))
            probabilities = self._answers.choice(then).probabilities
            mass = tf.matmul(probabilities, self._catalogue.shares)
            return mass, self._shares(then)[0]

        count = tf.shape(checkpoint_times)[1]
        # map_fn cannot stack nothing.
        some = tf.pad(checkpoint_times, [[0, 0], [0, tf.cast(count == 0, tf.int32)]])
        # Time by time: all at once would hold T times the memory.
        found = tf.map_fn(
            at,
            tf.transpose(some),
            fn_output_signature=(tf.float32, tf.float32),
            parallel_iterations=1,
        )
        mass, shares = (tf.transpose(part[:count], [1, 0, 2]) for part in found)
        return {
            "categories": self._answers.categories(asked),
            "category_probabilities": mass,
            "facet_shares": shares,
        }

    def update_user(self, asked: Asked, item: Any, engaged: Any) -> Answer:
        number = self._catalogue.numbers(item)
        known = number >= 0
        gains = asked.events.facet_gain, asked.events.conformity_gain
        found = learn(
            self._answers.choice(asked, but=number),
            asked.user,
            self._catalogue,
            self._reader.parts,
            gains,
            tf.maximum(number, 0),
            engaged,
            self._answers.temperature,
        )
        return {
            "facet_gain": tf.where(known[:, None], found.facet_gain, gains[0]),
            "conformity_gain": tf.where(known, found.conformity_gain, gains[1]),
            "log_loss": tf.where(known, found.log_loss, 0.0),
            "known": known,
        }

    def _shares(self, asked: Asked) -> tuple[Any, Any]:
        """Of the facets [B, K] and of the crowd [B]."""
        choice = self._answers.choice(asked)
        sizes = self._reader.line_sizes
        shares = line_shares(choice, asked.user.state, self._catalogue.matrix.whole(), sizes)
        facets = len(self._names)
        return shares[:, :facets], shares[:, facets]
