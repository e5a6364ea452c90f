"""The console table, its Markdown twin, the headline and the comparison of two runs."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrec.evaluation.compare import PairedDifference
from tfrec.evaluation.grid import main_metrics
from tfrec.evaluation.headline import headline, label, not_run, p_value
from tfrec.evaluation.markdown import markdown_table, markdown_text
from tfrec.evaluation.results import Interval, Lead, ModelResult, Results
from tfrec.evaluation.table import _width, compare_table, console_table


def around(value: float, half: float = 0.01) -> Interval:
    return Interval(value, value - half, value + half)


def line(name: str, ndcg: float, kind: str = "baseline") -> ModelResult:
    metrics = {
        "mrr": around(ndcg * 0.8),
        "hit_rate@5": around(ndcg * 1.2),
        "hit_rate@10": around(ndcg * 1.7),
        "recall@10": around(ndcg * 1.7),
        "ndcg@10": around(ndcg),
        "novelty@10": around(11.5 - ndcg),
        "coverage@10": around(0.5, 0),
    }
    return ModelResult(name, kind, fit_seconds=192, metrics=metrics)  # type: ignore[arg-type]


RESULTS = Results(
    protocol="full ranking over 3,416 items, seen removed, leave-one-out, split a1b2c3",
    subset="test",
    cases=6040,
    primary_metric="ndcg@10",
    models=[
        line("EASE", 0.19),
        line("SASRec", 0.17, "model"),
        line("Popularity", 0.02),
        ModelResult("biased MF", "baseline", skipped="the log has no strengths"),
    ],
)


def test_the_model_stands_first_and_the_best_value_is_marked() -> None:
    lines = console_table(RESULTS, width=200).splitlines()
    assert lines[0].startswith("test, 6,040 cases: full ranking over 3,416 items")
    assert lines[2].split()[:3] == ["NDCG@10", "HR@10", "MRR"]
    assert lines[3].startswith("> SASRec      0.1700 ± 0.0100")
    assert lines[4].startswith("  EASE        0.1900*± 0.0100")
    assert lines[3].endswith("3 min 12 s")
    assert "biased MF was not run: the log has no strengths" in lines


def test_a_column_that_repeats_another_is_left_out() -> None:
    assert main_metrics(RESULTS) == ["ndcg@10", "hit_rate@10", "mrr", "coverage@10", "novelty@10"]


def test_columns_share_their_decimals() -> None:
    table = console_table(RESULTS, width=200)
    assert re.findall(r"11\.\d+ ± \S+", table) == ["11.33 ± 0.01", "11.31 ± 0.01", "11.48 ± 0.01"]


@given(width=st.integers(34, 200))
def test_no_line_is_wider_than_the_terminal_and_the_primary_metric_stays(width: int) -> None:
    lines = console_table(RESULTS, width).splitlines()
    assert max(map(len, lines)) <= width
    assert any("0.1700 ± 0.0100" in text for text in lines)


@given(name=st.text(st.characters(exclude_categories=["C", "Z", "M"]), min_size=1))
def test_columns_stay_aligned_whatever_the_names(name: str) -> None:
    named = replace(RESULTS, models=[line(name, 0.1, "model"), line("夏目漱石", 0.2)])
    lines = console_table(named, 200).splitlines()
    header = next(n for n, text in enumerate(lines) if "NDCG@10" in text)
    # The column ends after the half interval in every row.
    edges = [
        _width(text[: text.index("± 0.0100", _position(text)) + len("± 0.0100")])
        for text in lines[header + 1 : header + 3]
    ]
    assert len({*edges, _width(lines[header][: lines[header].index("NDCG@10") + 7])}) == 1


def _position(text: str) -> int:
    return next(m.start() for m in re.finditer(r"0\.[12]000", text))


def test_an_unknown_value_is_a_dash_and_never_the_best() -> None:
    broken = replace(RESULTS.models[0], metrics={"ndcg@10": Interval(*[float("nan")] * 3)})
    table = console_table(replace(RESULTS, models=[broken, *RESULTS.models[1:]]), 200)
    assert re.search(r"EASE +– ", table)
    assert "0.1700*" in table


def test_only_what_is_better_when_higher_is_marked() -> None:
    header, *rows = markdown_table(RESULTS).splitlines()
    novelty = header.split("|").index(" novelty@10 ")
    assert not any("**" in row.split("|")[novelty] for row in rows)


def test_markdown_is_a_rectangle_with_the_model_in_bold() -> None:
    rows = markdown_table(RESULTS).splitlines()
    assert len({row.count("|") for row in rows}) == 1
    assert rows[2].startswith("| **SASRec** | 0.1700 ± 0.0100 |")
    assert rows[3].startswith("| EASE | **0.1900** ± 0.0100 |")


@given(st.text())
def test_markdown_text_stays_in_its_cell(text: str) -> None:
    escaped = markdown_text(text)
    assert len(escaped.splitlines()) <= 1
    assert not re.search(r"(?<!\\)(\\\\)*[|<`*\[]", escaped)


def test_the_headline_says_below_when_it_is_below() -> None:
    assert headline(RESULTS) == (
        "SASRec reaches NDCG@10 0.1700 (95 % interval 0.1600 to 0.1800), 0.0200 (-10.5 %) below "
        "the best baseline, EASE, at 0.1900 (0.1800 to 0.2000). "
        "The two intervals overlap; only a paired comparison can tell the two apart."
    )


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        (Interval(-0.02, -0.03, -0.01), "-0.0300 to -0.0100 (p < 0.001)."),
        (
            Interval(-0.02, -0.05, 0.01),
            "-0.0500 to +0.0100 (p < 0.001): these cases cannot tell the two apart.",
        ),
    ],
)
def test_a_paired_comparison_settles_it(interval: Interval, verdict: str) -> None:
    lead = Lead("SASRec", "EASE", interval, 0.0002)
    assert headline(replace(RESULTS, lead=lead)).endswith(
        f"the 95 % interval of the difference is {verdict}"
    )


def test_a_lead_over_another_baseline_is_not_quoted() -> None:
    lead = Lead("SASRec", "Popularity", Interval(0.1, 0.1, 0.1), 0.0002)
    assert "case by case" not in headline(replace(RESULTS, lead=lead))


def test_the_headline_without_baselines_or_model() -> None:
    alone = replace(RESULTS, models=[RESULTS.models[1]])
    assert headline(alone).endswith("; no baseline was run beside it.")
    assert (
        headline(replace(RESULTS, models=[]))
        == "No model has a value of NDCG@10 on the test cases."
    )


def test_results_with_a_lead_survive_a_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    results = replace(RESULTS, lead=Lead("SASRec", "EASE", around(0.02), 0.5))
    results.save(tmp_path / "results.json")
    assert Results.load(tmp_path / "results.json") == results


def test_words() -> None:
    assert label("long_tail_share@20") == "long tail@20"
    assert label("average_popularity@10") == "average popularity@10"
    assert not_run(RESULTS) == ["biased MF was not run: the log has no strengths"]
    assert (p_value(0.0004), p_value(0.0456)) == ("p < 0.001", "p = 0.046")


DIFFERENCES = {
    "ndcg@10": PairedDifference(0.19, 0.17, around(0.02), 0.02 / 0.17, 0.0001, 900, 80, 20),
    "hit_rate@10": PairedDifference(0.3, 0.31, around(-0.01, 0.02), -0.01 / 0.31, 0.44, 9, 980, 11),
    "mrr": PairedDifference(0.1, 0.0, around(0.1), None, 0.0001, 1000, 0, 0),
}


def test_a_comparison_marks_only_differences_that_leave_out_zero() -> None:
    rows = compare_table("runs/a", "runs/b", DIFFERENCES, width=120).splitlines()
    assert rows[:2] == ["a: runs/a", "b: runs/b"]
    assert re.split(r"  +", rows[4].strip()) == [
        *("NDCG@10", "0.1900", "0.1700", "+0.0200*", "+0.0100 … +0.0300", "< 0.001"),
        *("+11.8 %", "900", "80", "20"),
    ]
    assert "-0.0100 " in rows[5]
    assert "-0.0100*" not in rows[5]
    assert re.split(r"  +", rows[6].strip())[6] == "–"


@given(width=st.integers(40, 140))
def test_a_comparison_fits_the_terminal(width: int) -> None:
    lines = compare_table("runs/a", "runs/b", DIFFERENCES, width).splitlines()
    assert max(map(len, lines)) <= width
