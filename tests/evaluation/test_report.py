"""The report: three files that agree, a page that needs nothing else and trusts nobody's names."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tfrec.evaluation import plots
from tfrec.evaluation.headline import headline, label, number
from tfrec.evaluation.report import HTML, JSON, MARKDOWN, html, write_report
from tfrec.evaluation.results import Interval, ModelResult, Results, SliceRow

VOID = {"meta", "link", "br", "use"}


def around(value: float, half: float = 0.01) -> Interval:
    return Interval(value, value - half, value + half)


def line(name: str, ndcg: float, kind: str = "baseline") -> ModelResult:
    def row(text: str, cases: int, times: float) -> SliceRow:
        return SliceRow(text, cases, {"ndcg@10": around(ndcg * times)})

    return ModelResult(
        name,
        kind,  # type: ignore[arg-type]
        settings={"dim": 64, "l2": 0.5, "tied": True},
        fit_seconds=75,
        evaluate_seconds=2,
        metrics={
            "ndcg@10": around(ndcg),
            "hit_rate@10": around(ndcg * 1.7),
            "long_tail_share@10": around(0.12),
            "coverage@10": around(0.5, 0),
        },
        slices={
            "history length": [row("6-20", 400, 0.8), row(">200", 200, 1.2)],
            "target popularity": [row("head (50 % of events)", 500, 1.2)],
        },
    )


RESULTS = Results(
    protocol="full ranking over 40 items, seen removed, leave-one-out, split a1b2c3",
    subset="test",
    cases=600,
    primary_metric="ndcg@10",
    models=[
        line("SASRec", 0.1791, "model"),
        line("EASE", 0.1502),
        ModelResult("biased MF", "baseline", skipped="the log has no strengths"),
    ],
    epochs=[
        {"epoch": n + 1, "loss": 6 - n, "validation ndcg@10": 0.1 + 0.01 * n, "seconds": 9.5}
        for n in range(3)
    ],
    item_counts=[400, 300, 100, *range(37, 0, -1)],
    data={
        "source": "ratings.csv",
        "num_users": 600,
        "num_items": 40,
        "split_hash": "a1b2c3",
        "steps": [{"name": "5-core", "events": 12345, "users": 600, "items": 40}],
    },
    environment={
        "tensorflow": "2.20.0",
        "wall_seconds": 61,
        "command": "python -m tfrec.train --data ratings.csv",
        "config": "training:\n  epochs: 3\n",
    },
)
SECTIONS = ["table", "training", "slices", "long-tail", "settings", "data", "environment"]


class Page(HTMLParser):
    """Reads a page strictly: every element closed in order, ids unique."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(document)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data))

    @property
    def text(self) -> str:
        return " ".join(data for tag, data in self.texts if tag != "style")


@pytest.fixture(scope="module")
def document() -> str:
    return html(RESULTS)


@pytest.fixture(scope="module")
def page(document: str) -> Page:
    return Page(document)


def test_three_files_say_the_same(tmp_path: Path) -> None:
    write_report(RESULTS, tmp_path / "run")
    assert Results.load(tmp_path / "run" / JSON) == RESULTS
    saved = json.loads((tmp_path / "run" / JSON).read_text())
    markdown = (tmp_path / "run" / MARKDOWN).read_text()
    page = Page((tmp_path / "run" / HTML).read_text())
    for model in saved["models"]:
        for metric, interval in model["metrics"].items():
            value = number(interval["value"])
            assert value in page.text
            assert value in markdown
            assert label(metric) in page.text
    assert headline(RESULTS) in page.text
    for text in ("SASRec on ratings.csv", RESULTS.protocol, "the log has no strengths"):
        assert text in page.text
        assert text in markdown.replace("\\", "")


def test_every_section_is_there(page: Page) -> None:
    sections = [attrs["id"] for tag, attrs in page.elements if tag == "section"]
    assert sections == [*SECTIONS, "reproduce"]
    for text in (
        "0.1200 in epoch 3 is the best",
        "12,345",
        "dim 64, l2 0.5, tied on",
        "1 min 1 s",
        "python -m tfrec.train --data ratings.csv",
        "training:\n  epochs: 3",
    ):
        assert text in page.text


def test_slices_show_their_numbers(page: Page) -> None:
    for model in RESULTS.models:
        for rows in model.slices.values():
            for row in rows:
                assert number(row.metrics["ndcg@10"].value) in page.text
                assert f"{row.label}, {row.cases} cases" in page.text


def test_the_page_needs_nothing_from_outside(document: str, page: Page) -> None:
    links = {"src", "href", "xlink:href", "action", "data", "srcset", "poster"}
    for tag, attrs in page.elements:
        assert tag not in {"script", "iframe", "img", "object", "embed"}
        for name in links & set(attrs):
            assert re.fullmatch(r"#.*|data:,", attrs[name] or "")
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", document))
    assert "@import" not in document
    # A namespace is a name, not a place to fetch from.
    assert set(re.findall(r"https?://[^\s\"'<]+", document)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_ids_are_unique_and_what_refers_to_them_finds_them(document: str, page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    used = {attrs.get("xlink:href") for tag, attrs in page.elements if tag == "use"}
    used |= set(re.findall(r"url\((#[^)]*)\)", document))
    assert {f"#{name}" for name in page.ids} >= used - {None}
    named = {attrs.get("aria-labelledby") for _, attrs in page.elements} - {None}
    assert named <= set(page.ids)


def test_the_page_can_be_listened_to(page: Page) -> None:
    assert ("html", {"lang": "en"}) in page.elements
    drawings = [attrs for tag, attrs in page.elements if tag == "svg"]
    assert len(drawings) == 6
    for attrs in drawings:
        assert attrs["role"] == "img"
        assert len(attrs["aria-label"] or "") > 20
    heads = [attrs for tag, attrs in page.elements if tag == "th"]
    assert {attrs["scope"] for attrs in heads} == {"row", "col"}
    tables = sum(tag == "table" for tag, _ in page.elements)
    assert sum(tag == "caption" for tag, _ in page.elements) == tables > 3


def test_plots_take_their_colours_from_the_page(document: str) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", document, re.DOTALL))
    # What matplotlib leaves is black by default and invisible in the dark.
    assert not re.findall(r"(?:fill|stroke): #(?!fff)[0-9a-f]{6}", drawn)
    for variable in set(re.findall(r"var\((--\w+)\)", document)):
        assert document.count(f"{variable}: #") == 2  # light and dark
    assert "prefers-color-scheme: dark" in document


HOSTILE = "<script>alert(1)</script>\"'>&amp;$x$ | `x` 夏目"


def test_a_hostile_name_is_only_a_name(tmp_path: Path) -> None:
    row = SliceRow(HOSTILE, 3, {"ndcg@10": around(0.1)})
    model = replace(
        line(HOSTILE, 0.1, "model"),
        settings={HOSTILE: HOSTILE},
        slices={HOSTILE: [row]},
    )
    everywhere = replace(
        RESULTS,
        protocol=HOSTILE,
        models=[model, ModelResult(HOSTILE, "baseline", skipped=HOSTILE)],
        data={"source": HOSTILE, "split_hash": HOSTILE, HOSTILE: HOSTILE},
        environment={HOSTILE: HOSTILE, "command": HOSTILE, "config": HOSTILE},
    )
    write_report(everywhere, tmp_path)
    document = (tmp_path / HTML).read_text()
    page = Page(document)
    assert "<script" not in document
    assert not any(tag == "script" for tag, _ in page.elements)
    for tag, attrs in page.elements:
        assert not any(name.startswith("on") for name in attrs), tag
    assert page.text.count(HOSTILE) > 15
    markdown = (tmp_path / MARKDOWN).read_text()
    # Only the command stands there as it is, in a block of code.
    assert re.findall(r"(?m)^.*(?<!\\)<script", markdown) == ["    <script"]
    table = markdown[markdown.index("|  |") :].split("\n\n")[0].splitlines()
    assert len({len(re.findall(r"(?<!\\)\|", text)) for text in table}) == 1


@pytest.mark.parametrize(
    ("results", "absent"),
    [
        (Results("p", "test", 0, "ndcg@10", []), {*SECTIONS, "reproduce"} - {"table"}),
        (
            replace(RESULTS, models=[RESULTS.models[1]], epochs=[], item_counts=[], data={}),
            {"training", "data"},
        ),
        (
            replace(RESULTS, epochs=RESULTS.epochs[:1], item_counts=[0, 0], environment={}),
            {"environment", "reproduce"},
        ),
        (replace(RESULTS, epochs=[{"epoch": 1, "loss": float("nan")}]), {"training"}),
        (replace(RESULTS, primary_metric="mrr"), set()),
        (replace(RESULTS, models=[line(f"model {n}", 0.1) for n in range(11)]), set()),
    ],
    ids=["nothing", "baselines", "one-epoch", "nan", "unknown-primary", "eleven"],
)
def test_what_is_missing_is_left_out(results: Results, absent: set[str], tmp_path: Path) -> None:
    write_report(results, tmp_path)
    page = Page((tmp_path / HTML).read_text())
    sections = {attrs["id"] for tag, attrs in page.elements if tag == "section"}
    assert {*SECTIONS, "reproduce"} - sections == absent


def test_validation_numbers_are_called_so() -> None:
    page = Page(html(replace(RESULTS, subset="validation")))
    assert "These are validation numbers" in page.text


def test_a_long_catalogue_stays_a_small_drawing() -> None:
    counts = [1_000_000 // n for n in range(1, 200_001)]
    assert len(plots.long_tail(counts)) < 60_000


def test_the_tail_is_what_the_head_leaves() -> None:
    # 60 + 20 of 100 events reach the head's 80 %, the other two items are the tail.
    assert plots.tail_share([60, 20, 10, 10]) == pytest.approx(0.2)
    assert "the 2 most popular of 4 items hold 80 % of them" in plots.long_tail([60, 20, 10, 10])


def test_a_report_is_the_same_every_time(document: str) -> None:
    assert html(RESULTS) == document


def test_importing_the_report_loads_no_matplotlib() -> None:
    code = "import sys, tfrec.evaluation.report; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
