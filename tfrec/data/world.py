"""The parameters of the synthetic world: everything that its log was caused by.

    log λ_ui(t) = a_u + κ_u · log pop_i(t) + Σ_k θ_uk(t) · topic_ik
                + η_u · Σ_k Σ_{s: t_s < t} 2^(-(t - t_s) / h_k) · sim_k(i_s, i)

λ is the rate at which user u would take item i at time t if it were shown. The site shows an item
with the known propensity e_i(t), so the log holds items in proportion to e · λ. How much somebody
likes what they took is another matter: the latent liking ν_u + quality_i + Σ_k ρ_k θ_uk topic_ik,
cut into five grades (ordered logit: McCullagh, "Regression models for ordinal data", 1980).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Bool, Float32, Int64
from tfrec.data.world_texts import STRANDS_PER_TOPIC, TOPICS

DOMAINS = ("films", "books")
DAY = 86_400.0
DAYS = 365
# 2024-01-01 UTC.
START = 1_704_067_200
# Popularity moves from week to week.
WEEKS = DAYS // 7 + 1
# The site shows an item the more often the more popular it is: e = (pop / largest pop)^this.
EXPOSURE_POWER = 0.3
# Days in which half of a topic's pull from one event is gone, lasting to momentary.
HALF_LIFE_DAYS = np.geomspace(14.0, 0.1, len(TOPICS)).astype(np.float32)
# Pull of one event just after it, by topic: what lasts pulls gently, or it would never let go.
PULL = np.geomspace(0.6, 3.0, len(TOPICS)).astype(np.float32)
STABLE, ABRUPT, GRADUAL, RECURRENT = 0, 1, 2, 3
RATING_CUTS = (-2.4, -1.0, 0.5, 2.0)
# Share of liking that each topic's taste carries over into (what we take is not what we praise).
RATING_SHARE = np.linspace(0.2, 0.9, len(TOPICS)).astype(np.float32)


class Items(NamedTuple):
    """I items.

    topic [I, K] shares that sum to 1; strand [I, K] the strand of each topic; vector [I, K * M],
    whose products by topic are sim_k(i, j): PULL_k times the cosine where the strands agree;
    domain [I];
    quality [I]; log_popularity [W, I] by week, 0 = an average item; log_propensity [W, I], the
    logarithm of e, -inf before the item is released; release_day [I].
    """

    topic: Float32
    strand: Int64
    vector: Float32
    domain: Int64
    quality: Float32
    log_popularity: Float32
    log_propensity: Float32
    release_day: Float32


@dataclass(frozen=True)
class Users:
    """U users.

    Attributes:
        activity: a_u [U], logarithm of the user's events per day.
        conformity: κ_u [U] ≥ 0.
        taste, new_taste: θ_u before and after the change, [U, K].
        excitation: η_u [U] ≥ 0.
        leniency: ν_u [U].
        films_share: share of the visits that go to films, [U].
        join_day: first day of the user, [U].
        drift: STABLE, ABRUPT, GRADUAL or RECURRENT, [U].
        change_day, return_day, change_half_life: days, [U]. A stable user never uses them.
    """

    activity: Float32
    conformity: Float32
    taste: Float32
    new_taste: Float32
    excitation: Float32
    leniency: Float32
    films_share: Float32
    join_day: Float32
    drift: Int64
    change_day: Float32
    return_day: Float32
    change_half_life: Float32

    def taste_at(self, users: Int64 | slice, day: npt.NDArray[np.floating]) -> Float32:
        """θ_u(t) of some users at one day each, [len(day), K].

        The share of the new taste is 0 before change_day; after it 1 (abrupt), 1 - 2^(-Δ / g)
        with half-life g (gradual), or 1 until return_day and 0 again (recurrent).
        """
        kind, since = self.drift[users], day - self.change_day[users]
        gradual = 1 - 2 ** (-np.maximum(since, 0) / self.change_half_life[users])
        back = day >= self.return_day[users]
        share = np.select(
            [(kind == STABLE) | (since < 0), kind == GRADUAL, (kind == RECURRENT) & back],
            [0.0, gradual, 0.0],
            1.0,
        )[:, None].astype(np.float32)
        mixed: Float32 = (1 - share) * self.taste[users] + share * self.new_taste[users]
        return mixed


def week_of(second: npt.NDArray[np.float64]) -> Int64:
    """Row of the weekly tables; a visit that outlasts the year stays in the last week."""
    return np.minimum(second // (7 * DAY), WEEKS - 1).astype(np.int64)


def draw_items(count: int, random: np.random.Generator) -> Items:
    """A catalogue: half films, half books, of the same topics."""
    kinds = len(TOPICS)
    topic = random.dirichlet(np.full(kinds, 0.12), count).astype(np.float32)
    strand = random.integers(STRANDS_PER_TOPIC, size=(count, kinds))
    vector = np.zeros((count, kinds, STRANDS_PER_TOPIC), np.float32)
    unit = np.sqrt(PULL) * topic / np.linalg.norm(topic, axis=1, keepdims=True)
    np.put_along_axis(vector, strand[:, :, None], unit[:, :, None], axis=2)
    # A quarter of the catalogue appears during the year, with a wave of attention.
    place = random.permutation(count)
    is_new = place // 2 % 4 == 0
    release = np.where(is_new, random.uniform(0, 0.9 * DAYS, count), -365.0).astype(np.float32)
    week_day = np.arange(WEEKS, dtype=np.float32)[:, None] * 7
    age = np.maximum(week_day - release, 0)
    base = -1.4 * np.log1p(random.permutation(count)) + random.normal(0, 0.2, count)
    season = random.uniform(0, 0.4, count) * np.sin(
        2 * np.pi * (week_day / DAYS + random.random(count))
    )
    log_popularity = base + 1.5 * 2 ** (-age / 30) + season
    log_popularity -= np.log(np.exp(log_popularity).mean(axis=1, keepdims=True))
    largest = log_popularity.max(axis=1, keepdims=True)
    log_propensity = np.where(
        week_day >= release, EXPOSURE_POWER * (log_popularity - largest), -np.inf
    )
    return Items(
        topic=topic,
        strand=strand,
        vector=vector.reshape(count, -1),
        domain=place % len(DOMAINS),
        quality=random.normal(0, 0.8, count).astype(np.float32),
        log_popularity=log_popularity.astype(np.float32),
        log_propensity=log_propensity.astype(np.float32),
        release_day=release,
    )


def draw_users(events_per_user: Int64, random: np.random.Generator) -> Users:
    """People with the given numbers of events, whose tastes differ in strength and in constancy."""
    count, kinds = len(events_per_user), len(TOPICS)
    join = random.uniform(0, 0.5 * DAYS, count).astype(np.float32)
    change = join + (DAYS - join) * random.uniform(0.3, 0.7, count)

    def taste() -> Float32:
        share = random.dirichlet(np.full(kinds, 0.3), count)
        return (6.0 * (share - 1 / kinds)).astype(np.float32)

    return Users(
        activity=np.log(events_per_user / (DAYS - join)).astype(np.float32),
        conformity=np.minimum(random.lognormal(-0.7, 0.5, count), 1.5).astype(np.float32),
        taste=taste(),
        new_taste=taste(),
        excitation=np.minimum(random.lognormal(0.1, 0.4, count), 3.0).astype(np.float32),
        leniency=random.normal(0.6, 0.7, count).astype(np.float32),
        films_share=random.beta(1.2, 1.2, count).astype(np.float32),
        join_day=join,
        drift=random.choice(4, size=count, p=(0.4, 0.2, 0.2, 0.2)),
        change_day=change.astype(np.float32),
        return_day=(change + 0.4 * (DAYS - change)).astype(np.float32),
        change_half_life=random.uniform(10, 40, count).astype(np.float32),
    )


def draw_event_counts(users: int, items: int, events: int, random: np.random.Generator) -> Int64:
    """Events per user, log-normal between a few and hundreds, that sum to `events` exactly."""
    low, high = min(20, events // users), min(400, items // 4)
    weight = random.lognormal(0, 0.8, users)
    smallest, largest = 0.0, high / float(weight.min())
    for _ in range(100):
        scale = (smallest + largest) / 2
        if np.clip(scale * weight, low, high).sum() > events:
            largest = scale
        else:
            smallest = scale
    counts = np.floor(np.clip(smallest * weight, low, high)).astype(np.int64)
    # What rounding down left over goes one by one to users with room.
    room = np.flatnonzero(counts < high)
    counts[room[: events - int(counts.sum())]] += 1
    return counts


def draw_visits(
    events_per_user: Int64, users: Users, random: np.random.Generator
) -> tuple[npt.NDArray[np.float64], Int64]:
    """When each event happens and on which domain's site: people come for visits of about eight.

    Returns:
        Seconds since START, rising inside a user, and the domain of the visit; both user after
        user, [E].
    """
    total = int(events_per_user.sum())
    user = np.repeat(np.arange(len(events_per_user)), events_per_user)
    opens: Bool = random.random(total) < 1 / 8
    opens[np.cumsum(events_per_user) - events_per_user] = True
    visit = np.cumsum(opens) - 1
    visitor = user[opens]
    join = users.join_day[visitor].astype(np.float64)
    begin = DAY * (join + (DAYS - 1 - join) * random.random(len(visitor)))
    begin = begin[np.lexsort((begin, visitor))]
    gap = np.where(opens, 0.0, 20 + random.lognormal(np.log(1200), 1.3, total))
    passed = np.cumsum(gap)
    second = begin[visit] + passed - passed[opens][visit]
    domain = (random.random(len(visitor)) >= users.films_share[visitor]).astype(np.int64)[visit]
    # A long visit may run into the next one.
    order = np.lexsort((second, user))
    return np.floor(second[order]), domain[order]
