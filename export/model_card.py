"""MODEL_CARD.md: what the model learned from, how good it is, and what it is not for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from export.comparison import Comparison, paired
from export.reliability import PICTURE, Reliability
from export.saved_model import Exported
from tfrec.console import count, size
from tfrec.data.named import AMAZON, SETS, amazon
from tfrec.errors import UserError
from tfrec.evaluation.headline import headline, title, what
from tfrec.evaluation.markdown import markdown_table, markdown_text
from tfrec.evaluation.results import Results
from tfrec.evaluation.run_evaluation import RESULTS
from tfrec.run import RunConfig
from tfrec.text.licence import encoder_licence

CARD = "MODEL_CARD.md"


def read_results(run: Path) -> Results:
    """The test results of a run.

    Raises:
        UserError: the run is not finished, or the file is damaged.
    """
    path = run / RESULTS
    try:
        return Results.load(path)
    except FileNotFoundError:
        raise UserError(
            f"{run} has no {RESULTS}: the run is not finished. Go on with "
            f"python -m tfrec.train --resume {run}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({error}); write it again with python -m tfrec.evaluate {run}"
        ) from None


def model_card(
    exported: Exported,
    results: Results,
    reliability: Reliability,
    smaller: Comparison | None = None,
) -> str:
    """The whole page, in Markdown.

    Arguments:
        exported: the version. results: of its run.
        reliability: of the version; its picture is to lie beside the page.
        smaller: what it costs that the version is smaller than the run as it was trained.
    """
    sections = {
        "Data": _data(exported, results),
        "How good it is": [
            *_quality(results),
            *_smaller(exported, smaller),
            *_calibration(reliability),
        ],
        "Limits": _limits(exported),
        "Texts": _texts(exported.config),
        "Made with": _made_with(exported, results),
    }
    parts = [f"# {markdown_text(what(results))}"]
    for name, lines in sections.items():
        parts += [f"## {name}", *lines]
    return "\n\n".join(parts) + "\n"


def _data(exported: Exported, results: Results) -> Iterator[str]:
    data = results.data
    split = data["split"]
    yield (
        f"{count(data['num_events'])} events of {count(data['num_users'])} users with "
        f"{count(data['num_items'])} items from {markdown_text(str(data['source']))}. "
        f"{count(data['rejected_rows'])} rows could not be used."
    )
    yield (
        f"Trained on {count(split['train events'])} events; split {data['split_hash']}, "
        f"{exported.config.split.split}."
    )
    yield f"Licence of the data: {markdown_text(_licence(str(data['source'])))}."


def _licence(source: str) -> str:
    name = source.partition(":")[0]
    if name in SETS:
        return SETS[name]().licence
    if name.partition("/")[0] == AMAZON:
        return amazon.LICENCE
    return "not known to tfrec: find out what the log's allows before the model leaves the house"


def _quality(results: Results) -> Iterator[str]:
    yield markdown_text(title(results)) + "."
    yield markdown_text(headline(results))
    yield markdown_table(results)
    yield "Bold: best of its column. ± half of the 95 % bootstrap interval over cases."


def _smaller(exported: Exported, smaller: Comparison | None) -> Iterator[str]:
    if smaller is None:
        return
    yield (
        f"Those numbers are of the run as it was trained. This version holds {smaller.change}, in "
        f"{size(smaller.smaller.bytes)} instead of {size(smaller.original.bytes)}: on "
        f"{count(smaller.cases)} of the test cases {paired(smaller)}."
    )
    if exported.facets is not None and exported.facets.pruned:
        yield (
            f"Facets were left out: {markdown_text(exported.facets.sentence())}. The temperature "
            "and the calibration were fitted with all of them."
        )


def _calibration(found: Reliability) -> Iterator[str]:
    yield f"{found.sentence()}. The calibration was fitted on validation cases."
    yield f"![Share taken over promised probability]({PICTURE})"


def _limits(exported: Exported) -> Iterator[str]:
    sizes = exported.sizes
    yield "\n".join(
        [
            f"- It knows the {count(sizes.items)} items of its catalogue. Other ids in a history "
            "count as absent, as candidates they are flagged.",
            f"- It reads the newest {count(sizes.max_length)} events of a history.",
            "- The numbers above are of events held out of the same log. What a recommender "
            "shows changes what people do: measure it in an experiment before relying on them.",
            "- Probabilities are calibrated on the validation cases of that log and drift with it.",
            *_index_limits(exported),
            *_ledger_limits(sizes.model),
        ]
    )


def _index_limits(exported: Exported) -> list[str]:
    if exported.indexed is None:
        return []
    return [f"- Recommendations are not searched for exactly: {exported.indexed.sentence()}."]


def _ledger_limits(model: str) -> list[str]:
    if model != "ledger":
        return []
    return [
        "- An explanation is what the score is made of. What would happen had an event never been "
        "is another question, see python -m tfrec.explain.",
    ]


def _texts(config: RunConfig) -> Iterator[str]:
    encoder = config.text.text_encoder
    if encoder == "none":
        yield "The model reads no texts."
    else:
        tuned = config.tuning.tunes
        how = f"tuned with the model ({config.tuning.text_tuning})" if tuned else "as it is"
        yield (
            f"Item texts are read by {markdown_text(encoder)}, {how}. "
            f"{markdown_text(encoder_licence(encoder))}. It holds for what is derived from the "
            "encoder, this model among it."
        )


def _made_with(exported: Exported, results: Results) -> Iterator[str]:
    known: dict[str, Any] = results.environment
    versions = [f"{name} {known[name]}" for name in ("tfrec", "tensorflow", "keras")]
    yield (
        f"{', '.join(versions)}; weights of epoch {exported.epoch}, seed {known['seed']}. "
        "contract.json beside this page lists the signatures and the SHA-256 of every file."
    )
