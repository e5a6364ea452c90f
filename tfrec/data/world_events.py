"""The people of the synthetic world choose: round after round, everybody their next event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Float32, Int64
from tfrec.data.world import DAY, HALF_LIFE_DAYS, RATING_CUTS, RATING_SHARE, Items, Users, week_of
from tfrec.data.world_texts import STRANDS_PER_TOPIC, TOPICS

ACTIONS = ("view", "click", "buy")
# P(action | strength 1..5) for view, click, buy.
_ACTION_GIVEN_STRENGTH = np.array(
    [[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.3, 0.65, 0.05], [0.1, 0.5, 0.4], [0.05, 0.2, 0.75]]
)
# Users simulated together: bounds memory at about block * items * 20 bytes.
_BLOCK = 1000


@dataclass
class Choices:
    """What was chosen and the true ledger of it, row for row, E events (saved as events.npz).

    Attributes:
        user, item: int32 [E].
        second: float64 [E], since world.START.
        activity, conformity: float32 [E], the lines a_u and κ_u · log pop_i(t).
        facets: float32 [E, K], the lines θ_uk(t) · topic_ik.
        recency: float32 [E, K], the lines η_u Σ_s 2^(-(t - t_s) / h_k) sim_k(i_s, i).
        log_rate: float32 [E], log λ: what all lines sum to.
        log_propensity: float32 [E], log e of the item at that time.
        probability: float32 [E], of this item among all that the user had not taken yet and that
            the visited site showed: e λ / Σ e λ.
        rank: int32 [E], how many of those were more probable. It bounds what any model can reach.
        liking: float32 [E], the latent grade before noise.
        strength: int8 [E], 1..5.
        action: int8 [E], index into ACTIONS.
    """

    user: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    second: npt.NDArray[np.float64]
    activity: Float32
    conformity: Float32
    facets: Float32
    recency: Float32
    log_rate: Float32
    log_propensity: Float32
    probability: Float32
    rank: npt.NDArray[np.int32]
    liking: Float32
    strength: npt.NDArray[np.int8]
    action: npt.NDArray[np.int8]

    @classmethod
    def empty(cls, events: int) -> Choices:
        kinds = len(TOPICS)

        def number() -> Float32:
            return np.zeros(events, np.float32)

        return cls(
            user=np.zeros(events, np.int32),
            item=np.zeros(events, np.int32),
            second=np.zeros(events),
            activity=number(),
            conformity=number(),
            facets=np.zeros((events, kinds), np.float32),
            recency=np.zeros((events, kinds), np.float32),
            log_rate=number(),
            log_propensity=number(),
            probability=number(),
            rank=np.zeros(events, np.int32),
            liking=number(),
            strength=np.zeros(events, np.int8),
            action=np.zeros(events, np.int8),
        )

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        return dict(self.__dict__)

    def take(self, rows: Int64) -> Choices:
        return Choices(**{name: column[rows] for name, column in self.columns().items()})


def choose(
    users: Users,
    items: Items,
    events_per_user: Int64,
    second: npt.NDArray[np.float64],
    domain: Int64,
    seeds: np.random.SeedSequence,
) -> Choices:
    """Draws every event's item, then its liking, strength and action.

    Arguments:
        users, items: the parameters.
        events_per_user: [U].
        second, domain: when each event happens and on which site, user after user, [E].
        seeds: one stream per block of users, so memory does not grow with their number.
    """
    starts = np.cumsum(events_per_user) - events_per_user
    count = len(events_per_user)
    out = Choices.empty(len(second))
    out.second[:] = second
    out.user[:] = np.repeat(np.arange(count), events_per_user)
    blocks = range(0, count, _BLOCK)
    # One stream more than blocks: for the grades.
    *streams, last_stream = seeds.spawn(len(blocks) + 1)
    for begin, stream in zip(blocks, streams, strict=True):
        members = np.arange(begin, min(begin + _BLOCK, count))
        # The busiest first: those who still have events left are always a prefix.
        members = members[np.argsort(-events_per_user[members], kind="stable")]
        random = np.random.default_rng(stream)
        _choose_items(users, items, members, starts, events_per_user, domain, random, out)
    _grade(users, items, np.random.default_rng(last_stream), out)
    return out


def _choose_items(
    users: Users,
    items: Items,
    members: Int64,
    starts: Int64,
    events_per_user: Int64,
    domain: Int64,
    random: np.random.Generator,
    out: Choices,
) -> None:
    """Round r draws the r-th event of every member who has one, and fills in `out`."""
    count = len(items.domain)
    features = np.concatenate([items.topic, items.vector], axis=1).T  # [K + D, I]
    half_life = np.repeat(HALF_LIFE_DAYS, STRANDS_PER_TOPIC)  # [D]
    elsewhere = np.where(np.arange(2)[:, None] == items.domain, 0, -np.inf).astype(np.float32)
    taken = np.zeros((len(members), count), np.float32)  # -inf where taken
    # What is left of all past events: Σ_s 2^(-(t - t_s) / h) vector_s, kept at time `at`.
    echo = np.zeros((len(members), items.vector.shape[1]), np.float32)
    at = np.zeros(len(members))
    left = events_per_user[members]
    for turn in range(int(left[0])):
        active = int(np.searchsorted(-left, -turn, side="left"))
        who = members[:active]
        rows = starts[who] + turn
        now = out.second[rows]
        past = echo[:active]
        past *= 2 ** (-((now - at[:active]) / DAY).astype(np.float32)[:, None] / half_life)
        pull = users.excitation[who, None] * past  # [active, D]
        week = week_of(now)
        taste = users.taste_at(who, now / DAY)
        rate = np.concatenate([taste, pull], axis=1) @ features  # [active, I], log λ
        rate += users.conformity[who, None] * items.log_popularity[week]
        rate += users.activity[who, None]
        seen = rate + items.log_propensity[week]
        seen += elsewhere[domain[rows]]
        seen += taken[:active]

        weight = np.exp(seen - seen.max(axis=1, keepdims=True))
        reached = np.cumsum(weight, axis=1)
        # In (0, total], so an item of weight zero is never hit.
        mark = (1 - random.random(active, dtype=np.float32)[:, None]) * reached[:, -1:]
        chosen = (reached < mark).sum(axis=1)
        each = np.arange(active)
        out.item[rows] = chosen
        out.log_rate[rows] = rate[each, chosen]
        out.probability[rows] = weight[each, chosen] / reached[:, -1]
        out.rank[rows] = (seen > seen[each, chosen, None]).sum(axis=1)
        shape = (active, len(TOPICS), STRANDS_PER_TOPIC)
        out.recency[rows] = (pull * items.vector[chosen]).reshape(shape).sum(axis=2)

        past += items.vector[chosen]
        at[:active] = now
        taken[each, chosen] = -np.inf


def _grade(users: Users, items: Items, random: np.random.Generator, out: Choices) -> None:
    """The lines of the ledger that need no memory, and what people thought of what they took."""
    week = week_of(out.second)
    out.activity[:] = users.activity[out.user]
    out.conformity[:] = users.conformity[out.user] * items.log_popularity[week, out.item]
    user = out.user.astype(np.int64)
    out.facets[:] = users.taste_at(user, out.second / DAY) * items.topic[out.item]
    out.log_propensity[:] = items.log_propensity[week, out.item]
    out.liking[:] = users.leniency[out.user] + items.quality[out.item] + out.facets @ RATING_SHARE
    opinion = out.liking + random.logistic(size=len(out.liking))
    out.strength[:] = 1 + (opinion[:, None] > np.array(RATING_CUTS)).sum(axis=1)
    reached = np.cumsum(_ACTION_GIVEN_STRENGTH, axis=1)[out.strength - 1]
    out.action[:] = (random.random(len(out.action))[:, None] >= reached[:, :-1]).sum(axis=1)
