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
            ("colony", "Mars", "terraformer", "red dust", "habitat"),
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
            ("mafia", "ransom", "informant", "blackmail", "harbour"),
        ),
    ),
    Topic(
        "romance",
        ("dancer", "florist", "widower", "matchmaker"),
        (
            ("wedding", "bride", "vow", "ring", "best man"),
            ("love letter", "postcard", "envelope", "confidante", "secret"),
            ("summer", "beach house", "holiday", "lighthouse", "ferry"),
            ("ballroom", "waltz", "duke", "masquerade", "debutante"),
            ("coffee shop", "neighbour", "blind date", "rain", "umbrella"),
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
            ("ocean", "whale", "coral reef", "tide", "plankton"),
            ("glacier", "polar bear", "iceberg", "aurora", "sled"),
            ("savannah", "elephant", "lioness", "waterhole", "migration"),
            ("mountain", "summit", "avalanche", "eagle", "base camp"),
        ),
    ),
    Topic(
        "magic",
        ("wizard", "apprentice", "witch", "changeling"),
        (
            ("dragon", "hoard", "scales", "fire", "lair"),
            ("spell", "wand", "grimoire", "potion", "cauldron"),
            ("ghost", "haunted house", "seance", "attic", "graveyard"),
            ("fairy", "enchanted wood", "moonlight", "goblin market", "riddle"),
            ("prophecy", "talisman", "sorcerer", "curse", "tower"),
        ),
    ),
    Topic(
        "music",
        ("violinist", "singer", "conductor", "drummer"),
        (
            ("jazz", "trumpet", "smoky club", "improvisation", "saxophone"),
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
            ("bakery", "sourdough", "oven", "croissant", "flour"),
            ("vineyard", "harvest", "cellar", "vintage", "cork"),
            ("street food", "night market", "noodle", "dumpling", "spice"),
            ("chocolate", "pastry", "caramel", "truffle", "confectioner"),
            ("kitchen", "recipe", "knife", "banquet", "michelin star"),
        ),
    ),
)
STRANDS_PER_TOPIC = 5

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
    for item, domain in enumerate(domains):
        # The second topic speaks when it is a real part of the item.
        first, second = (int(k) for k in order[item, :2])
        if topics[item, second] < 0.25:
            second = first
        main = TOPICS[first].strands[strands[item, first]]
        side = TOPICS[second].strands[strands[item, second]]
        a, b = (str(word) for word in random.choice(main, 2, replace=False))
        c = str(random.choice([word for word in side if word not in (a, b)]))
        mood, mood2 = (str(word) for word in random.choice(_MOODS, 2, replace=False))
        words = {
            "a": a,
            "b": b,
            "c": c,
            "person": str(random.choice(TOPICS[first].people)),
            "other": str(random.choice(TOPICS[second].people)),
            "topic": TOPICS[first].name,
            "topic2": TOPICS[second].name if second != first else "chance",
            "kind": str(random.choice(_KINDS[domain])),
        }
        title_words = {name: _capital(word) for name, word in words.items()}
        title = str(random.choice(_TITLES)).format(mood=mood, mood2=mood2, **title_words)
        taken[title] = taken.get(title, 0) + 1
        titles.append(title if taken[title] == 1 else f"{title}, Part {taken[title]}")
        sentences = [str(random.choice(_OPENINGS)), str(random.choice(_SECONDS))]
        text = " ".join(sentences).strip().format(mood=mood.lower(), **words)
        descriptions.append(_articles(text))
        large = [int(k) for k in order[item] if topics[item, k] >= 0.25] or [first]
        categories.append("|".join(TOPICS[k].name for k in large))
    return [_articles(title) for title in titles], descriptions, categories


def _capital(words: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in words.split(" "))


def _articles(text: str) -> str:
    """ "a oak" -> "an oak"."""
    words = text.split(" ")
    for place, following in enumerate(words[1:]):
        if words[place] in ("a", "A") and following[:1].lower() in "aeiou":
            words[place] += "n"
    return " ".join(words)
