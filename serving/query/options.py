"""The command line of `python -m serving.query`."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """\
examples:
  python -m serving.query recommend --model_name shop --history s3@2023-11-14T22:13:20Z,s4@1700000090000
  python -m serving.query recommend --model_name shop --history @events.csv --exclude s9,s12 --plot top.png
  python -m serving.query explain --model_name shop --history @events.json --items s5 --plot why.png
  python -m serving.query recommend --model_name shop --query "space opera with robots"
  python -m serving.query evolve --model_name shop --history @events.csv --times 2023-11-15T00:00:00Z,2023-12-01T00:00:00Z
  python -m serving.query facets --model_name shop --history s3@1700000000000 --now 2024-01-01T00:00:00Z
  python -m serving.query score --server http://localhost:8501 --model_name shop --items s5,s6 --json
  python -m serving.query embed_text --model_name shop --texts @texts.txt --json | jq '.[0]'

A history is ITEM@TIME,ITEM@TIME…, or @FILE, or @- for standard input. A file is CSV with the columns
item,time and, where you like, action,value,gain; or JSON with the same names, an array of objects or
an object per line. A time is ISO 8601 with its zone, or unix milliseconds. Lists of items and texts
may be @FILE too, one per line. No history: somebody who is new.

Exit codes: 0 answered, 1 the server did not answer or refused, 2 the command line is wrong.
"""  # noqa: E501

_USER, _ITEMS = "user", "items"

# name: what it answers, and the groups of flags that it takes
QUESTIONS = {
    "recommend": ("the items that a user wants most", {_USER, "exclude"}),
    "score": ("how much a user wants some items", {_USER, _ITEMS}),
    "explain": ("why: the lines that add up to the scores of some items", {_USER, _ITEMS}),
    "distribution": ("what a user wants overall", {_USER}),
    "facets": ("which parts an interest has, how lasting and how loud", {_USER}),
    "evolve": ("how an interest changed, asked at several times", {_USER, "times"}),
    "update_user": ("what one more event teaches about a user", {_USER, "item"}),
    "embed_user": ("a user as a vector whose product with an item's is the score", {_USER}),
    "embed_items": ("items as vectors", {_ITEMS}),
    "embed_text": ("new items as vectors, by their texts alone", {"texts"}),
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m serving.query",
        description="Asks a served model one question and prints the answer.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    kinds = made.add_subparsers(dest="question", metavar="QUESTION", required=True)
    for name, (answers, groups) in QUESTIONS.items():
        one = kinds.add_parser(
            name,
            help=answers,
            description=f"Asks {answers}." if name == "explain" else f"Asks for {answers}.",
            epilog="python -m serving.query --help has examples.",
            allow_abbrev=False,
        )
        _add_question(one, groups)
        _add_server(one)
        _add_output(one)
    return made


def _add_question(made: argparse.ArgumentParser, groups: set[str]) -> None:
    if _USER in groups:
        made.add_argument(
            "--history",
            metavar="EVENTS",
            default="",
            help="ITEM@TIME,… or @FILE or @- (default: none, somebody who is new)",
        )
        made.add_argument("--now", metavar="TIME", help="when the question is asked")
        made.add_argument(
            "--profile", metavar="TEXT", default="", help="what the user says of himself or herself"
        )
        made.add_argument(
            "--query", metavar="TEXT", default="", help="what the user searches for just now"
        )
        made.add_argument(
            "--facet_gain",
            metavar="G,G,…",
            help="multiplies the lines of each facet; 1 changes none",
        )
        made.add_argument(
            "--conformity_gain",
            metavar="G",
            type=float,
            default=1.0,
            help="multiplies the pull of the crowd; 0 leaves it out",
        )
    for group, text in (
        ("exclude", "items that must not come: ID,ID,… or @FILE"),
        (_ITEMS, "the items asked about: ID,ID,… or @FILE"),
        ("times", "TIME,TIME,…"),
        ("texts", "@FILE with a text per line, or one text"),
    ):
        if group in groups:
            made.add_argument(f"--{group}", metavar="LIST", required=group != "exclude", help=text)
    if "item" in groups:
        made.add_argument("--item", metavar="ID", required=True, help="what was offered")
        made.add_argument("--ignored", action="store_true", help="the user did not take it")


def _add_server(made: argparse.ArgumentParser) -> None:
    server = made.add_argument_group("server")
    server.add_argument("--model_name", metavar="NAME", required=True, help="as it is served")
    server.add_argument(
        "--server",
        metavar="ADDRESS",
        default="localhost:8500",
        help="host:port or unix:/path for gRPC, http(s)://… for REST (default %(default)s)",
    )
    which = server.add_mutually_exclusive_group()
    which.add_argument("--version", metavar="N", type=int, help="of the model (default: newest)")
    which.add_argument("--label", metavar="NAME", help="label of a version")
    server.add_argument(
        "--deadline", metavar="S", type=float, default=5.0, help="seconds (default %(default)s)"
    )
    server.add_argument(
        "--api_key_file", metavar="FILE", type=Path, help="its first line is sent as x-api-key"
    )
    server.add_argument("--tls", action="store_true", help="encrypt gRPC; https:// always is")
    server.add_argument("--ca_file", metavar="PEM", type=Path, help="trusted authorities; with TLS")
    server.add_argument("--cert_file", metavar="PEM", type=Path, help="own certificate, for mTLS")
    server.add_argument("--key_file", metavar="PEM", type=Path, help="its key")


def _add_output(made: argparse.ArgumentParser) -> None:
    output = made.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print every number as JSON")
    output.add_argument("--plot", metavar="FILE", type=Path, help="draw it: .png, .svg or .pdf")
