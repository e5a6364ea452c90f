"""Titles and descriptions of the synthetic world, written from what an item is about."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Topic(NamedTuple):
    """A topic's words: who such stories are about, and five strands of what they hold."""

    name: str
    people: tuple[str, ...]
    strands: tuple[tuple[str, ...], ...]


TOPICS = (
    Topic(
        "space",
        ("astronaut", "pilot", "engineer", "cosmonaut"),
        (
            ("rocket", "launch pad", "orbit", "capsule", "countdown"),
            ("comet", "telescope", "nebula", "supernova", "observatory"),
            ("colony", "Mars rover", "terraformer", "dust storm", "habitat"),
            ("robot", "android", "circuit", "mainframe", "signal"),
            ("alien", "wormhole", "starship", "galaxy", "first contact"),
        ),
    ),
    Topic(
        "crime",
        ("detective", "inspector", "burglar", "witness"),
        (
            ("murder", "alibi", "motive", "crime scene", "confession"),
            ("heist", "vault", "safe", "diamond", "getaway car"),
            ("courtroom", "verdict", "jury", "prosecutor", "testimony"),
            ("spy", "cipher", "embassy", "double agent", "dossier"),
            ("gangster", "ransom", "informant", "blackmail note", "harbour"),
        ),
    ),
    Topic(
        "romance",
        ("dancer", "florist", "widower", "matchmaker"),
        (
            ("wedding", "bride", "vow", "ring", "best man"),
            ("love letter", "postcard", "envelope", "confidante", "secret"),
            ("sailing boat", "beach house", "holiday", "lighthouse", "ferry"),
            ("ballroom", "waltz", "duke", "masquerade", "debutante"),
            ("coffee shop", "neighbour", "blind date", "rainstorm", "umbrella"),
        ),
    ),
    Topic(
        "history",
        ("archivist", "general", "queen", "messenger"),
        (
            ("empire", "legion", "senate", "aqueduct", "gladiator"),
            ("castle", "siege", "knight", "crown", "tournament"),
            ("revolution", "barricade", "pamphlet", "guillotine", "republic"),
            ("trench", "armistice", "telegram", "convoy", "medal"),
            ("voyage", "compass", "galleon", "spice route", "uncharted coast"),
        ),
    ),
    Topic(
        "nature",
        ("ranger", "biologist", "shepherd", "explorer"),
        (
            ("forest", "oak", "mushroom", "owl", "trail"),
            ("ocean", "whale", "coral reef", "tide", "sea turtle"),
            ("glacier", "polar bear", "iceberg", "aurora", "sled"),
            ("savannah", "elephant", "lioness", "waterhole", "migration"),
            ("mountain", "summit", "avalanche", "eagle", "base camp"),
        ),
    ),
    Topic(
        "magic",
        ("wizard", "apprentice", "witch", "changeling"),
        (
            ("dragon", "hoard", "wing", "flame", "lair"),
            ("spell", "wand", "grimoire", "potion", "cauldron"),
            ("ghost", "haunted house", "seance", "attic", "graveyard"),
            ("fairy", "enchanted wood", "moonbeam", "goblin market", "riddle"),
            ("prophecy", "talisman", "sorcerer", "curse", "tower"),
        ),
    ),
    Topic(
        "music",
        ("violinist", "singer", "conductor", "drummer"),
        (
            ("jazz band", "trumpet", "smoky club", "drum solo", "saxophone"),
            ("opera", "aria", "soprano", "libretto", "orchestra"),
            ("guitar", "garage band", "tour bus", "encore", "amplifier"),
            ("folk song", "fiddle", "village fair", "ballad", "banjo"),
            ("piano", "sonata", "conservatory", "metronome", "recital"),
        ),
    ),
    Topic(
        "food",
        ("chef", "baker", "critic", "farmer"),
        (
            ("bakery", "sourdough loaf", "oven", "croissant", "flour sack"),
            ("vineyard", "harvest", "cellar", "wine press", "cork"),
            ("food stall", "night market", "noodle", "dumpling", "spice rack"),
            ("chocolate bar", "pastry", "candy jar", "truffle", "confectioner"),
            ("kitchen", "recipe", "knife", "banquet", "michelin star"),
        ),
    ),
)
STRANDS_PER_TOPIC = 5
# A topic of at least this share of an item is one of its categories.
CATEGORY_SHARE = 0.25

_MOODS = (
    *("Quiet", "Hidden", "Golden", "Broken", "Distant", "Crooked", "Silver", "Lost"),
    *("Strange", "Burning", "Gentle", "Solemn", "Forgotten", "Restless", "Unlikely", "Tender"),
)
_TITLES = (
    "The {mood} {a}",
    "{a} and {b}",
    "A {person} and the {a}",
    "{mood} {a}, {mood2} {b}",
    "The {person} of the {mood} {a}",
    "Beyond the {a}",
    "What the {person} Knew About the {a}",
)
_OPENINGS = (
    "A {mood} {kind} about a {person}, a {a} and a {b}.",
    "When the {a} is gone, a {person} has only the {b} to go by.",
    "A {person} finds a {a} and cannot forget the {b}.",
    "This {mood} {kind} follows a {person} from the {a} to the {b}.",
    "Everything a {person} knows about {topic} begins with a {a} and ends with a {b}.",
)
_SECONDS = (
    "Then a {other} arrives with a {c}, and nothing stays the same.",
    "Behind the {c} waits a {other}.",
    "A tale of {topic} and {topic2}, and of one {c}.",
    "Only a {other} can tell what the {c} means.",
    "",
)
_KINDS = {"films": ("film", "picture", "drama"), "books": ("novel", "book", "tale")}


def item_texts(
    topics: npt.NDArray[np.floating],
    strands: npt.NDArray[np.integer],
    domains: list[str],
    random: np.random.Generator,
) -> tuple[list[str], list[str], list[str]]:
    """Writes what a shop would print about each item.

    Arguments:
        topics: share of each topic in each item, [I, K].
        strands: which strand of topic k the item belongs to, [I, K].
        domains: "films" or "books" per item, I.
        random: choices of words and sentences.

    Returns:
        Titles (all different), descriptions of one or two sentences, and categories: the topics
        that make up at least a quarter of the item, "space|crime", biggest first.
    """
    order = np.argsort(-topics, axis=1, kind="stable")
    titles, descriptions, categories = [], [], []
    taken: dict[str, int] = {}
    for item, (domain, draw) in enumerate(
        zip(domains, random.random((len(domains), 11)), strict=True)
    ):
        first, second = (int(k) for k in order[item, :2])
        # The second topic speaks when it is a real part of the item.
        if topics[item, second] < CATEGORY_SHARE:
            second = first
        main = TOPICS[first].strands[strands[item, first]]
        side = TOPICS[second].strands[strands[item, second]]
        a = _pick(main, draw[0])
        b = _pick(tuple(word for word in main if word != a), draw[1])
        mood = _pick(_MOODS, draw[2])
        words = {
            "a": a,
            "b": b,
            "c": _pick(tuple(word for word in side if word not in (a, b)), draw[3]),
            "person": _pick(TOPICS[first].people, draw[4]),
            "other": _pick(TOPICS[second].people, draw[5]),
            "topic": TOPICS[first].name,
            "topic2": TOPICS[second].name if second != first else "chance",
            "kind": _pick(_KINDS[domain], draw[6]),
            "mood": mood.lower(),
            "mood2": _pick(tuple(word for word in _MOODS if word != mood), draw[7]).lower(),
        }
        capital = {name: _capital(word) for name, word in words.items()}
        title = _articles(_pick(_TITLES, draw[8]).format(**capital))
        taken[title] = taken.get(title, 0) + 1
        titles.append(title if taken[title] == 1 else f"{title}, Part {taken[title]}")
        sentences = _pick(_OPENINGS, draw[9]), _pick(_SECONDS, draw[10])
        descriptions.append(_articles(" ".join(sentences).strip().format(**words)))
        large = [int(k) for k in order[item] if topics[item, k] >= CATEGORY_SHARE] or [first]
        categories.append("|".join(TOPICS[k].name for k in large))
    return titles, descriptions, categories


def _pick(options: tuple[str, ...], draw: float) -> str:
    return options[int(draw * len(options))]


def _capital(words: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in words.split(" "))


def _articles(text: str) -> str:
    """ "a oak" -> "an oak"."""
    words = text.split(" ")
    for place, following in enumerate(words[1:]):
        if words[place] in ("a", "A") and following[:1].lower() in "aeiou":
            words[place] += "n"
    return " ".join(words)
