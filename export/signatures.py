"""The whole contract that a client relies on: every signature with its inputs and outputs.

What names of dimensions stand for is in `DIMENSIONS`. Those that stand for the request are free,
and may be 0 except for B; the others are fixed by the run. Answers about a user follow from that
user's row alone. In every history

- "" pads, anywhere; an item that the catalogue does not know counts as absent;
- events may come in any order: they are read by time, those of equal time as they are given;
- the model reads the newest `max_length` events; older ones still keep their items from being
  recommended again, where the run's rankings do (its option --keep-seen turns that off).

The short form of a signature asks just after the newest event that it is given (for an empty
history: after the newest event of the log), takes every action for the commonest and knows no
strengths. Its twin `<name>_full` takes all that and the gains of `FULL`. Where the run reads what
users say, `<name>_told` takes a profile and a search besides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

FULL_SUFFIX = "_full"
TOLD_SUFFIX = "_told"

DIMENSIONS = {
    # The request decides.
    "B": "the batch, first in every input",
    "L": "events of a history",
    "M": "candidates",
    "E": "excluded items",
    "T": "times",
    # The run decides.
    "K": "facets",
    "d": "numbers of a facet",
    "Q": "profile and query, as far as the run has",
    "C": "categories",
    "S": "numbers of an embedding",
    "N": "recommended items",
}


class Tensor(NamedTuple):
    """One input or output.

    Attributes:
        dtype: as TensorFlow names it.
        shape: names of dimensions, e.g. "B L".
        meaning: in a sentence.
    """

    dtype: str
    shape: str
    meaning: str


class Signature(NamedTuple):
    """One question.

    Attributes:
        answers: what, in a sentence.
        inputs, outputs: by name.
        reads_history: takes `HISTORY` too, and has a twin that takes `FULL` as well.
        features: of the tf.Examples that it takes instead, see `FORMS`.
    """

    answers: str
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    reads_history: bool = True
    features: Mapping[str, Tensor] = MappingProxyType({})


class Sizes(NamedTuple):
    """What the run fixes.

    Attributes:
        model: "ledger", "sasrec" or "two-tower".
        items: of the catalogue. facets: K. facet_dim: d. categories: C. embedding: S. top_k: N.
        max_length: newest events of a history that the model reads.
        strengths: whether the log has enough of them to say how strong an engagement will be.
        texts: whether the model reads texts.
        told: which texts of users it reads, Q of `TOLD`.
        actions: kinds of action in the log.
        tokens: of the text encoder's vocabulary; 0 where none is known.
    """

    model: str
    items: int
    facets: int
    facet_dim: int
    categories: int
    embedding: int
    top_k: int
    max_length: int
    strengths: bool
    texts: bool
    told: tuple[str, ...] = ()
    actions: int = 0
    tokens: int = 0

    def of(self, shape: str) -> list[int | None]:
        """Names of dimensions -> numbers; None where the request decides."""
        fixed = {
            "K": self.facets,
            "d": self.facet_dim,
            "C": self.categories,
            "S": self.embedding,
            "N": self.top_k,
            "Q": len(self.told),
        }
        return [fixed.get(name) for name in shape.split()]


HISTORY = {
    "history_items": Tensor("string", "B L", 'item ids; "" pads'),
    "history_times": Tensor("int64", "B L", "when: unix milliseconds, whatever on padding"),
}

ACTIONS = Tensor("string", "B L", 'what was done: "buy" …; "" or unknown: read as the commonest')
VALUES = Tensor("float32", "B L", "rating, dwell or count; NaN where not known")
NOW = Tensor("int64", "B", "when the question is asked, unix milliseconds; 0: as in the short form")
FACET_GAIN = Tensor("float32", "B K", "multiplies the lines of a facet; 1 changes nothing")
EVENT_GAIN = Tensor("float32", "B L", "multiplies the lines of an event; 0 forgets it")
CONFORMITY_GAIN = Tensor("float32", "B", "multiplies the pull of the crowd; 0 leaves it out")

FULL = {
    "actions": ACTIONS,
    "values": VALUES,
    "now": NOW,
    "facet_gain": FACET_GAIN,
    "event_gain": EVENT_GAIN,
    "conformity_gain": CONFORMITY_GAIN,
}

# Neither is an item of the history: it is not recommended away, and it is not counted as popular.
TOLD = {
    "profile": Tensor("string", "B", 'what users say of themselves; "" for nothing'),
    "query": Tensor("string", "B", 'what is searched for at the time of the request; "": nothing'),
}

CANDIDATES = {"candidate_items": Tensor("string", "B M", "ids of the items asked about")}
KNOWN = Tensor("bool", "B M", "whether the catalogue has the candidate; if not, its answers are 0")
SCORE = Tensor("float32", "B M", "what ranks: higher is wanted more")

RECOMMEND = Signature(
    "the items that a user wants most",
    {"exclude_items": Tensor("string", "B E", 'items that must not come; "" pads')},
    {
        "items": Tensor("string", "B N", 'ids, best first; "" where no more may come'),
        "scores": Tensor("float32", "B N", "falling; the lowest float32 where no more may come"),
        "probabilities": Tensor(
            "float32",
            "B N",
            "that the next item is this one, of all that may come; 0 for none. With an index "
            "(contract.json says so) of all that it compared, which is a little more",
        ),
    },
)

SCORES = Signature(
    "how much a user wants some items",
    CANDIDATES,
    {
        "score": SCORE,
        "probability": Tensor(
            "float32", "B M", "that the next item is this one, of all that may come"
        ),
        "intensity": Tensor("float32", "B M", "calibrated probability of engagement with it alone"),
        "known": KNOWN,
    },
)
EXPECTED_STRENGTH = Tensor("float32", "B M", "mean rating, dwell or count of an engagement")

DISTRIBUTION = Signature(
    "what a user wants overall: softmax(score / temperature) over all items that may come",
    {},
    {
        "items": Tensor("string", "B N", "ids of the most probable, as `recommend` orders them"),
        "probabilities": Tensor("float32", "B N", "falling"),
        "tail_mass": Tensor("float32", "B", "probability of all others together"),
        "entropy": Tensor("float32", "B", "in nats; exp of it: over how many items"),
        "categories": Tensor("string", "B C", "names"),
        "category_probabilities": Tensor("float32", "B C", "of the next item's category"),
    },
)

EXPLAIN = Signature(
    "why: lines that add up to the score",
    CANDIDATES,
    {
        "event_contributions": Tensor(
            "float32", "B M L K", "what each event of the input adds in each facet; 0 on padding"
        ),
        "quality": Tensor("float32", "B M", "the item's own line, the same for everybody"),
        "conformity": Tensor("float32", "B M", "the pull of the crowd at the time of the request"),
        "context": Tensor("float32", "B M", "what no other line carries; 0 unless the run has it"),
        "score": SCORE,
        "residual_error": Tensor("float32", "B M", "score less the sum of all lines: rounding"),
        "text": Tensor("string", "B M", "the strongest lines in words, English or Chinese"),
        "known": KNOWN,
    },
)

TOLD_CONTRIBUTIONS = Tensor(
    "float32", "B M Q K", "what the profile and the search add in each facet, as far as the run has"
)

FACETS = Signature(
    "which parts an interest has, how lasting and how loud",
    {},
    {
        "facet_names": Tensor("string", "B K", "what each facet tells apart, or how it remembers"),
        "user_facets": Tensor("float32", "B K d", "where the interest lies in each facet"),
        "gates": Tensor("float32", "B K", "how far each facet is open, between 0 and 2"),
        "half_life_days": Tensor("float32", "B K", "age at which an event's weight has halved"),
        "shares": Tensor("float32", "B K", "of each facet in what moves the scores"),
        "crowd_share": Tensor("float32", "B", "of the crowd; the rest is the items' own"),
    },
)

EVOLVE = Signature(
    "how an interest changes: asked at several times with the events strictly before each",
    {"checkpoint_times": Tensor("int64", "B T", "unix milliseconds")},
    {
        "categories": Tensor("string", "B C", "names"),
        "category_probabilities": Tensor("float32", "B T C", "as of `distribution`"),
        "facet_shares": Tensor("float32", "B T K", "as `shares` of `facets`"),
    },
)

UPDATE_USER = Signature(
    "what one more event teaches about a user, whose history is the one before it",
    {
        "facet_gain": Tensor("float32", "B K", "as last answered, 1 at first; below 0 counts as 0"),
        "conformity_gain": Tensor(
            "float32", "B", "as last answered, 1 at first; below 0 counts as 0"
        ),
        "item": Tensor("string", "B", "what was offered"),
        "engaged": Tensor("bool", "B", "whether the user took it"),
    },
    {
        "facet_gain": Tensor("float32", "B K", "to be kept and given to the next `_full` request"),
        "conformity_gain": Tensor("float32", "B", "likewise; a gain of 0 stays 0"),
        "log_loss": Tensor("float32", "B", "of the event, before anything was learned from it"),
        "known": Tensor("bool", "B", "whether the catalogue has the item; if not, nothing changes"),
    },
)

EMBED_USER = Signature(
    "a user as a vector whose product with an item's embedding is the score",
    {},
    {"embedding": Tensor("float32", "B S", "biases are inside")},
)

EMBED_ITEMS = Signature(
    "items as vectors whose product with a user's embedding is the score",
    {"items": Tensor("string", "B", "ids")},
    {
        "embedding": Tensor("float32", "B S", "biases are inside; 0 for an unknown item"),
        "known": Tensor("bool", "B", "whether the catalogue has the item"),
    },
    reads_history=False,
)

EMBED_TEXT = Signature(
    "a new item by its text alone: typical in quality, as popular as items with such texts are",
    {"texts": Tensor("string", "B", "as the run's template makes them of an item's columns")},
    {"embedding": Tensor("float32", "B S", "in the space of `embed_items`")},
    reads_history=False,
)

ASKED_WITH_TEXTS = ("recommend", "score", "distribution", "explain", "facets", "embed_user")

# TensorFlow Serving's two classic forms, for clients of Classify and Regress: a string tensor of
# serialised tf.Examples, one per user. A feature of shape "B L" is a list of any length that needs
# no padding and may be left out; one of shape "B" is a single value and must be there.
EXAMPLES = {"inputs": Tensor("string", "B", "serialised tf.Examples with the `features`")}

CLASSIFY = Signature(
    "`recommend` as a classification: the items as classes",
    EXAMPLES,
    {
        "classes": Tensor("string", "B N", 'ids, best first; "" where no more may come'),
        "scores": Tensor("float32", "B N", "the `probabilities` of `recommend`"),
    },
    reads_history=False,
    features={**HISTORY, **RECOMMEND.inputs},
)

REGRESS = Signature(
    "the `intensity` of `score` as a regression: the probability of engagement with one item",
    EXAMPLES,
    {"outputs": Tensor("float32", "B", "calibrated; 0 for an unknown item")},
    reads_history=False,
    features={**HISTORY, "candidate_items": Tensor("string", "B", "id of the one item")},
)

# By the name of the signature, which is the name of the method too.
FORMS = {"classify": CLASSIFY, "regress": REGRESS}


def contract(sizes: Sizes) -> dict[str, Signature]:
    """The signatures of a run by name, without `serving_default`, which is `recommend`.

    Example:
        >>> list(contract(Sizes("sasrec", 9, 0, 0, 0, 64, 5, 50, False, False)))
        ['recommend', 'score', 'distribution', 'embed_user', 'embed_items', 'classify', 'regress']
    """
    ledger = sizes.model == "ledger"
    scores = SCORES
    if sizes.strengths:
        outputs = {**SCORES.outputs, "expected_strength": EXPECTED_STRENGTH}
        scores = SCORES._replace(outputs=outputs)
    found = {"recommend": RECOMMEND, "score": scores, "distribution": DISTRIBUTION}
    if ledger:
        found |= {"explain": EXPLAIN, "facets": FACETS, "evolve": EVOLVE}
        found["update_user"] = UPDATE_USER
    found |= {"embed_user": EMBED_USER, "embed_items": EMBED_ITEMS}
    if sizes.texts:
        found["embed_text"] = EMBED_TEXT
    found |= FORMS
    if not ledger:
        return found
    full = {
        name + FULL_SUFFIX: one._replace(inputs={**one.inputs, **FULL})
        for name, one in found.items()
        if one.reads_history
    }
    return found | full | _told(found, sizes.told)


def _told(found: Mapping[str, Signature], kinds: Sequence[str]) -> dict[str, Signature]:
    """Twins that take all of `FULL`, and texts of users."""
    if not kinds:
        return {}
    more = {**FULL, **{kind: TOLD[kind] for kind in kinds}}
    twins = {name: found[name] for name in ASKED_WITH_TEXTS}
    lines = {**EXPLAIN.outputs, "told_contributions": TOLD_CONTRIBUTIONS}
    twins["explain"] = EXPLAIN._replace(outputs=lines)
    return {
        name + TOLD_SUFFIX: one._replace(inputs={**one.inputs, **more})
        for name, one in twins.items()
    }


def short(name: str) -> str:
    """The signature that a twin answers."""
    return name.removesuffix(FULL_SUFFIX).removesuffix(TOLD_SUFFIX)


def inputs(signature: Signature) -> dict[str, Tensor]:
    """All inputs of a signature, those of the history first."""
    return {**(HISTORY if signature.reads_history else {}), **signature.inputs}
