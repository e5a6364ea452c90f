"""A trained run -> what answers each signature, ready to be traced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from export.graph.answers import Answers, Log
from export.graph.calibration import expected_strength
from export.graph.catalogue import UNKNOWN, Catalogue, index
from export.graph.examples import parsed
from export.graph.ledger import LedgerReader, columns, strengths
from export.graph.ledger_answers import LedgerAnswers
from export.graph.new_items import NewItems
from export.graph.sentences import Sentences
from export.graph.sequence import SequenceReader
from export.graph.stored import StoredWeights
from export.graph.text_vectors import TextReader
from export.graph.told import Teller
from export.index.build import build as build_index
from export.index.options import IndexReport
from export.log_requests import LogRequests
from export.options import PLAIN, Language, Options, Storage
from export.pruning import Facets, facets_to_keep
from export.samples import MOST_EVENTS
from export.signatures import FORMS, FULL, HISTORY, TOLD, Sizes
from tfrec.data.prepared import PreparedData
from tfrec.evaluation.ranking import tie_order
from tfrec.interest.disentanglement import half_life_days
from tfrec.interest.explanation import item_names
from tfrec.interest.readouts import Readouts
from tfrec.interest.strength_lines import StrengthWeights
from tfrec.interest.telling.wording import quoted
from tfrec.models.build import category_matrix, category_names
from tfrec.models.ledger import Ledger
from tfrec.run import RunConfig
from tfrec.text.opening import open_encoder
from tfrec.text.tokenizer import Tokenizer
from tfrec.trained import Trained

Call = Callable[..., dict[str, Any]]
# Users of the log that an index is made for and measured on.
INDEX_USERS = 2000


class Assembled(NamedTuple):
    """answers: by the name of a signature without its suffix. kept: tables, which have to be saved
    with the graphs. indexed: None where recommendations are searched for exactly. facets: None for
    a model without any. weights: a scope to trace the answers in."""

    answers: dict[str, Call]
    sizes: Sizes
    kept: list[Any]
    indexed: IndexReport | None
    facets: Facets | None
    weights: StoredWeights


def assemble(
    config: RunConfig, trained: Trained, readouts: Readouts, options: Options = PLAIN
) -> Assembled:
    """Puts the run's parts where a graph finds them.

    Arguments:
        config, trained, readouts: of the run.
        options: of the export.

    Raises:
        RecallError: the index does not reach the recall that is promised.
        UserError: pruning is asked of a model without facets.
    """
    data, model = trained.data, trained.model
    facets = facets_to_keep(config, trained, readouts, options)
    kept = [] if facets is None else facets.kept
    catalogue = _catalogue(data, model, kept, config.training.seed, options.storage)
    weights = list(model.variables)
    actions = index([name.encode() for name in data.meta.actions], UNKNOWN)
    log = Log(actions, int(data.columns.timestamp.max()))
    tables: list[Any] = [catalogue.number, actions]
    reader: Any = SequenceReader(model, catalogue)
    strength = None
    if isinstance(model, Ledger):
        reader = LedgerReader(model, catalogue, _commonest_action(data), kept, options.storage)
        strength = _strength(reader, catalogue, readouts)
    answers = Answers(
        reader.read,
        catalogue,
        log,
        readouts,
        strength,
        len(kept),
        min(options.top_k, data.num_items),
        config.evaluation.keep_seen,
    )
    indexed = None
    if options.search.kind != "exact":
        seed = config.training.seed
        users = np.random.default_rng(seed).permutation(data.num_users)[:INDEX_USERS]
        histories = data.sequences().take(users).last(MOST_EVENTS)
        indexed = build_index(answers, LogRequests(data), histories, options.search, seed)
    found: dict[str, Call] = {
        "recommend": _of_user(answers, answers.recommend),
        "score": _of_user(answers, answers.score),
        "distribution": _of_user(answers, answers.distribution),
        "embed_user": _of_user(answers, answers.embed_user),
        "embed_items": answers.embed_items,
    }
    for name in FORMS:
        found[name] = _of_examples(name, _of_user(answers, getattr(answers, name)))
    tokens = 0
    if isinstance(model, Ledger) and facets is not None:
        lines = _ledger_answers(answers, reader, facets, data, options.language)
        for method in (lines.explain, lines.facets, lines.evolve, lines.update_user):
            found[method.__name__] = _of_user(answers, method)
        if model.tower.text_dim:
            encoder = open_encoder(config.text)
            tokens = sum(one.size for one in encoder.kept if isinstance(one, Tokenizer))
            texts = TextReader(encoder, config.text)
            if model.user_texts is not None:
                answers.teller = Teller(model.user_texts, texts, model.max_length)
            found["embed_text"] = NewItems(model, texts, kept).embed_text
            tables += encoder.kept
            weights += encoder.weights
    sizes = Sizes(
        model=config.model.model,
        items=data.num_items,
        facets=len(kept),
        facet_dim=getattr(model, "facet_dim", 0),
        categories=len(category_names(data)),
        embedding=int(catalogue.matrix.shape[1]),
        top_k=answers.top_k,
        max_length=model.max_length,
        strengths=strength is not None,
        texts="embed_text" in found,
        told=() if answers.teller is None else tuple(answers.teller.kinds),
        actions=len(data.meta.actions),
        tokens=tokens,
    )
    return Assembled(found, sizes, tables, indexed, facets, StoredWeights(weights, options.storage))


def _of_user(answers: Answers, method: Callable[..., dict[str, Any]]) -> Call:
    """Reads the user first, then asks about the rest of the inputs."""

    def call(**given: Any) -> dict[str, Any]:
        of_user = {name: given.pop(name) for name in {**HISTORY, **FULL, **TOLD} if name in given}
        return method(answers.ask(**of_user), **given)

    return call


def _of_examples(form: str, call: Call) -> Call:
    return lambda inputs: call(**parsed(inputs, FORMS[form].features))


def _catalogue(
    data: PreparedData, model: Any, facets: list[int], seed: int, storage: Storage
) -> Catalogue:
    shares = category_matrix(data)
    if shares is None:
        shares = np.zeros((data.num_items, 0), np.float32)
    matrix = np.asarray(model.item_matrix(), np.float32)
    if isinstance(model, Ledger):
        matrix = matrix[:, columns(model, facets)]
    return Catalogue(
        data.items["item_id"].to_pylist(),
        matrix,
        category_names(data),
        shares,
        tie_order(data.num_items, seed),
        storage,
    )


def _commonest_action(data: PreparedData) -> int:
    return 0 if data.columns.action is None else int(np.bincount(data.columns.action).argmax())


def _strength(reader: LedgerReader, catalogue: Catalogue, readouts: Readouts) -> Any:
    """See `export.graph.answers.Strength`; None where the log has too few strengths."""
    link = readouts.grades or readouts.strength
    if link is None:
        return None
    weights = StrengthWeights.of(reader.model)
    by_item = tf.Variable(weights.by_item, trainable=False, name="strength_by_item")
    vectors = tf.Variable(weights.target_vectors, trainable=False, name="strength_vectors")
    weights = replace(
        weights,
        by_item=by_item,
        target_vectors=vectors,
        by_facet=weights.by_facet[reader.facets],
        by_grade=weights.by_grade[reader.facets],
    )

    def strength(user: Any, item_vectors: Any, numbers: Any) -> Any:
        rows = catalogue.rows(numbers)
        z = strengths(user, reader.parts(item_vectors), rows, weights)
        return expected_strength(link, z)

    return strength


def _ledger_answers(
    answers: Answers, reader: LedgerReader, facets: Facets, data: PreparedData, language: Language
) -> LedgerAnswers:
    facet_names = [facets.names[number] for number in facets.kept]
    names = item_names(data, answers.catalogue.row.numpy())
    titles = tf.constant([quoted(name.title, name.item).encode() for name in names], tf.string)
    titles = tf.Variable(titles, trainable=False, name="item_titles")
    users = reader.model.user_texts
    kinds = () if users is None else users.kinds
    sentences = Sentences(titles, data.meta.actions, facet_names, language, kinds)
    lives = half_life_days(reader.model)[facets.kept]
    return LedgerAnswers(answers, reader, sentences, facet_names, lives)
