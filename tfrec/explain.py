"""python -m tfrec.explain: what a trained ledger knows of a user, and why it recommends what."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfrec.atomic import write_text
from tfrec.console import import_tensorflow, say
from tfrec.errors import UserError, command
from tfrec.run import must_be_run

if TYPE_CHECKING:
    from tfrec.interest.asking.answer import Answer
    from tfrec.interest.asking.question import Question

EXAMPLES = """\
examples:
  python -m tfrec.explain runs/a --user 17                      why these five?
  python -m tfrec.explain runs/a --user 17 --item 50 --plot why.png
  python -m tfrec.explain runs/a --user 17 --at 2001-02-03 --language zh
  python -m tfrec.explain runs/a --user 17 --crowd 0 --less-like 50 --forget 121
  python -m tfrec.explain runs/a --user 17 --more lasting=2 --block Horror
  python -m tfrec.explain runs/a --user 17 --query "space opera with robots"
  python -m tfrec.explain runs/a --profile "Likes jazz and history"
  python -m tfrec.explain runs/a --user 17 --json - | jq .explanation

Facets are called as the page calls them. A wish changes gains on the lines of the scores and
nothing else, so the page can say beforehand by how much every score moves.
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tfrec.explain",
        description="Five answers about one user of a trained ledger: how much, what else, which "
        "parts, why, and since when.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("run", metavar="RUN", type=Path, help="run folder of python -m tfrec.train")
    made.add_argument(
        "--user",
        metavar="ID",
        help="user id as in the log; none: somebody new, with --profile or --query",
    )
    made.add_argument("--profile", metavar="TEXT", help="what the user says of himself or herself")
    made.add_argument("--query", metavar="TEXT", help="what the user searches for just now")
    made.add_argument(
        "--item",
        metavar="ID",
        action="append",
        default=[],
        help="item to explain, may be repeated (default: the top recommendations)",
    )
    made.add_argument(
        "--at",
        metavar="TIME",
        help="ask at this time, knowing what happened before it: ISO 8601, unix seconds or "
        "milliseconds (default: just after the newest event of the log)",
    )
    made.add_argument("--top", metavar="N", type=int, default=5, help="recommendations (default 5)")
    made.add_argument(
        "--language", choices=["en", "zh"], default="en", help="of the sentences (default en)"
    )
    made.add_argument(
        "--plot",
        metavar="FILE",
        type=Path,
        help="draw the first item's ledger, and the interests over time: .png or .svg",
    )
    made.add_argument(
        "--json",
        metavar="FILE",
        help="write every number; - prints them in place of the page",
    )
    wishes = made.add_argument_group("wishes", "what the user wants changed")
    for name, metavar, text in (
        ("--less-like", "ITEM", "halve the facet that speaks most for a recommended or past item"),
        ("--more", "FACET=GAIN", "multiply a facet's lines by at least 1"),
        ("--less", "FACET=GAIN", "multiply a facet's lines by at most 1"),
        ("--forget", "ITEM", "silence all past events with an item"),
        ("--block", "CATEGORY", "recommend nothing of a category"),
    ):
        wishes.add_argument(name, metavar=metavar, action="append", default=[], help=text)
    wishes.add_argument(
        "--crowd", metavar="GAIN", type=float, default=1.0, help="pull of the crowd; 0: none"
    )
    wishes.add_argument(
        "--history", metavar="GAIN", type=float, default=1.0, help="of all past events; 0: none"
    )
    wishes.add_argument(
        "--calibrate",
        metavar="LAMBDA",
        type=float,
        help="also a list whose categories are in the proportions of the history: 0 by "
        "probability alone, 1 by categories alone",
    )
    return made


@command
def main(argv: Sequence[str]) -> int:
    flags = parser().parse_args(argv)
    must_be_run(flags.run)
    if flags.top < 1:
        raise UserError(f"--top {flags.top} must be at least 1")
    if flags.user is None and flags.profile is None and flags.query is None:
        raise UserError("whom to ask about? Give --user, --profile or --query")
    if flags.plot is not None:
        from tfrec.interest.telling.drawing import check_format

        check_format(flags.plot)
    question = _question(flags)
    # First, so that its start-up noise stays off the console.
    import_tensorflow()
    from tfrec.interest.asking.answer import answer
    from tfrec.interest.asking.answer_page import page
    from tfrec.interest.asking.load import load_run

    found = answer(load_run(flags.run), question)
    if flags.json == "-":
        say(_json(found))
    else:
        say(page(found))
    if flags.json not in (None, "-"):
        _write(Path(flags.json), _json(found) + "\n")
        say(f"numbers: {flags.json}")
    if flags.plot is not None:
        for path in plot(found, flags.plot):
            if flags.json != "-":
                say(f"picture: {path}")
    return 0


def plot(found: Answer, path: Path) -> list[Path]:
    """Draws the first item's ledger to `path`, and the interests over time beside it.

    Returns:
        The files written.

    Raises:
        UserError: a file cannot be written.
    """
    from tfrec.interest.evolution import draw_categories, draw_shares
    from tfrec.interest.telling.pictures import draw_ledger

    if not found.explained:
        raise UserError("there is nothing to draw: the user has seen the whole catalogue")
    language = found.question.language
    draw_ledger(found.explained[0].ledger, path, language)
    if found.overview.evolution is None:
        return [path]
    beside = path.with_stem(path.stem + "-evolution")
    if found.overview.categories:
        draw_categories(
            found.overview.evolution, found.overview.categories, beside, language=language
        )
    else:
        draw_shares(found.overview.evolution, found.asked.facets, beside, language=language)
    return [path, beside]


def _question(flags: argparse.Namespace) -> Question:
    from tfrec.interest.asking.question import Question
    from tfrec.interest.steering import Feedback

    feedback = Feedback(
        less_like=flags.less_like,
        more_facets=_factors("--more", flags.more),
        less_facets=_factors("--less", flags.less),
        forget=flags.forget,
        crowd=flags.crowd,
        history=flags.history,
    )
    return Question(
        flags.user,
        flags.item,
        flags.at,
        flags.top,
        flags.language,
        feedback,
        flags.block,
        flags.calibrate,
        flags.profile,
        flags.query,
    )


def _factors(flag: str, given: Sequence[str]) -> dict[str, float]:
    """FACET=GAIN as given, the last "=" being the one that counts."""
    factors: dict[str, float] = {}
    for text in given:
        name, equals, factor = text.rpartition("=")
        try:
            factors[name] = float(factor)
        except ValueError:
            equals = ""
        if not equals:
            raise UserError(f"{flag} {text!r} must be FACET=GAIN, such as lasting=2")
    return factors


def _json(found: Answer) -> str:
    return json.dumps(found.to_json(), indent=1, ensure_ascii=False, allow_nan=False)


def _write(path: Path, text: str) -> None:
    try:
        write_text(path, text)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


if __name__ == "__main__":
    raise SystemExit(main())
