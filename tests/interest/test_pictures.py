from __future__ import annotations

import io
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import LineCollection
from matplotlib.colors import same_color
from matplotlib.text import Annotation

from tfrec.errors import UserError
from tfrec.interest.ledger_lines import Event, LedgerLines
from tfrec.interest.telling import drawing
from tfrec.interest.telling.evolution_figure import evolution_figure
from tfrec.interest.telling.ledger_figure import ledger_figure
from tfrec.interest.telling.pictures import draw_evolution, draw_ledger
from tfrec.interest.telling.waterfall import MOST_REASONS, steps

DAY = 86_400_000
NOW = 20_400 * DAY
TITLES = ("Dune", "三体", "A very long title that goes on and on and on and on and on", "$x_1$", "")


def make_ledger(size, facets=3, seed=0, items=None, step=DAY, scale=0.5, **fields):
    rng = np.random.default_rng(seed)
    contributions = rng.normal(0, scale, (size, facets)).astype(np.float32)
    scalars = {"quality": 0.4, "conformity": -0.6, "context": 0.0, **fields}
    error = scalars.pop("error", 0.0)
    events = [
        Event(
            f"i{n % (items or size)}",
            TITLES[n % len(TITLES)],
            ("view", "buy", "put in my list of things to see")[n % 3],
            None,
            NOW - (size - n) * step,
        )
        for n in range(size)
    ]
    score = float(contributions.sum(dtype=np.float64)) + sum(scalars.values()) + error
    names = ["Space", "爱情", "", "a facet with a name that is too long", *"efghij"][:facets]
    return LedgerLines(
        "w", "想要的 Book", NOW, events, names, contributions, score=score, **scalars
    )


def axes_of(figure, label):
    return next(axes for axes in figure.axes if axes.get_label() == label)


@given(
    st.integers(0, 20),
    st.integers(1, 20),
    st.integers(0, 5),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from([0.0, 1e-7, 2.0]),
)
def test_the_steps_lead_to_the_score(size, items, seed, context, error):
    ledger = make_ledger(size, seed=seed, items=items, context=context, error=error)
    *bars, score = steps(ledger)
    reached = 0.0
    for bar in bars:
        assert bar.start == pytest.approx(reached)
        reached += bar.value
    assert reached == pytest.approx(ledger.score, abs=1e-6)
    assert (score.start, score.value) == (0, ledger.score)
    assert [bar.number for bar in bars if bar.number] == list(
        range(1, 1 + min(len({e.item for e in ledger.events}), MOST_REASONS + 1))
    ) or sum(bool(bar.number) for bar in bars) == MOST_REASONS
    # Every event is in one bar, and a bar is worth its events.
    events = [bar for bar in bars if bar.events]
    assert sorted(place for bar in events for place in bar.events) == list(range(size))
    for bar in events:
        assert bar.value == pytest.approx(ledger.contributions[bar.events].sum(), abs=1e-5)
    said = [bar for bar in bars if bar.label == "not in the ledger"]
    assert len(said) == (error == 2.0)


def test_the_largest_reasons_have_bars_of_their_own():
    ledger = make_ledger(30, seed=3)
    numbered = [bar for bar in steps(ledger) if bar.number]
    largest = np.sort(np.abs(ledger.contributions.sum(axis=1)))[::-1][:MOST_REASONS]
    assert [abs(bar.value) for bar in numbered] == pytest.approx(largest.tolist(), abs=1e-5)
    assert "24 other events" in [bar.label for bar in steps(ledger)]
    assert "其他24个事件" in [bar.label for bar in steps(ledger, "zh")]


@pytest.mark.parametrize("size", [0, 1, 7, 40])
def test_the_bars_that_are_drawn_sum_to_the_score(size):
    ledger = make_ledger(size, items=9, context=0.2)
    *parts, score = axes_of(ledger_figure(ledger), "sum").patches
    assert sum(bar.get_width() for bar in parts) == pytest.approx(ledger.score)
    assert score.get_width() == pytest.approx(ledger.score)
    assert score.get_x() == 0
    for bar in parts:
        wanted = drawing.FOR if bar.get_width() > 0 else drawing.AGAINST
        assert same_color(bar.get_facecolor(), wanted)


@pytest.mark.parametrize(("size", "step"), [(1, DAY), (12, DAY), (40, 0), (200, 1000)])
def test_the_stems_are_the_contributions(size, step):
    ledger = make_ledger(size, facets=4, step=step)
    axes = axes_of(ledger_figure(ledger), "history")
    stems = [c for c in axes.collections if isinstance(c, LineCollection)]
    for facet, value in enumerate(ledger.contributions.T):
        mine = [c for c in stems if same_color(c.get_color()[0], drawing.SERIES[facet])]
        segments = np.concatenate([np.array(c.get_segments()) for c in mine])  # [events, 2, 2]
        order = np.argsort(segments[:, 0, 0])
        lengths = (segments[:, 1, 1] - segments[:, 0, 1])[order]
        np.testing.assert_allclose(lengths, value[value != 0], atol=1e-5)
    # Stacked: of one sign they end where the event's sum of that sign is.
    every = np.concatenate([np.array(c.get_segments()) for c in stems])
    above = np.maximum(ledger.contributions, 0).sum(axis=1).max()
    assert every[:, 1, 1].max() == pytest.approx(above, abs=1e-5)


def test_events_that_dates_would_hide_are_drawn_in_order():
    spread, crowded = (axes_of(ledger_figure(make_ledger(20, step=s)), "history") for s in (DAY, 0))
    assert spread.get_xlabel().startswith("date")
    assert crowded.get_xlabel().startswith("events in order")


def test_the_numbers_stand_at_their_events_and_apart():
    ledger = make_ledger(30, seed=1)
    axes = axes_of(ledger_figure(ledger), "history")
    texts = {int(t.get_text()): t for t in axes.texts if isinstance(t, Annotation)}
    for bar in steps(ledger):
        if bar.number:
            x, y = texts.pop(bar.number).xy
            event = bar.events[0]
            assert x == pytest.approx(ledger.events[event].time / DAY)
            row = ledger.contributions[event]
            side = np.maximum(row, 0) if row.sum() >= 0 else np.minimum(row, 0)
            assert y == pytest.approx(side.sum(), abs=1e-5)
    assert not texts


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_text_is_cut_or_on_another(seed, language):
    with drawing.style():
        figure = ledger_figure(make_ledger(30, seed=seed, context=-0.9), language)
        figure.draw_without_rendering()
        whole = figure.bbox
        left, right = axes_of(figure, "sum"), axes_of(figure, "history")
        labels = [t for t in left.get_yticklabels() if t.get_text()]
        numbers = list(right.texts)
        dates = [t for t in right.get_xticklabels() if t.get_text()]
        legend = right.get_legend().get_texts()
        boxes = [
            [t.get_window_extent() for t in texts]
            for texts in ([*labels, *left.texts], numbers, dates, legend)
        ]
    for group in boxes:
        assert group
        for n, box in enumerate(group):
            assert whole.x0 <= box.x0 < box.x1 <= whole.x1
            assert whole.y0 <= box.y0 < box.y1 <= whole.y1
            assert not any(box.overlaps(other) for other in group[:n])


@pytest.mark.parametrize("suffix", [".png", ".svg"])
@pytest.mark.parametrize("size", [0, 1, 2, 200])
def test_a_file_is_written_without_a_warning(tmp_path, size, suffix):
    path = tmp_path / f"ledger{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_ledger(make_ledger(size, scale=0.0 if size == 2 else 0.5), path, "zh")
    if suffix == ".png":
        assert path.read_bytes().startswith(b"\x89PNG")
    else:
        assert "想要的 Book" in "".join(ET.parse(path).getroot().itertext())


def test_all_zero_is_drawn(tmp_path):
    ledger = make_ledger(3, scale=0.0, quality=0.0, conformity=0.0)
    draw_ledger(ledger, tmp_path / "zero.png")
    assert [bar.value for bar in steps(ledger)] == [0.0] * 6


def test_titles_without_a_font_do_not_warn(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "_cjk_font", tuple)
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        draw_ledger(make_ledger(3), tmp_path / "a.png", "zh")
    assert [str(warning.message) for warning in raised] == []


def test_chinese_is_drawn_where_there_is_a_font():
    if not drawing._cjk_font():
        pytest.skip("no font with Chinese characters is installed")
    with drawing.style():
        figure = ledger_figure(make_ledger(12, seed=2), "zh")
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # "Glyph … missing from font(s) …"
            figure.savefig(io.BytesIO(), format="png")


def test_the_same_ledger_is_the_same_file_and_leaves_nothing_open(tmp_path):
    for name in ("a.svg", "b.svg"):
        draw_ledger(make_ledger(5), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    from matplotlib import pyplot

    assert pyplot.get_fignums() == []


def test_mistakes_of_users_are_named(tmp_path):
    ledger = make_ledger(1)
    with pytest.raises(UserError, match=r"a\.pdf: the name must end in \.png or \.svg"):
        draw_ledger(ledger, tmp_path / "a.pdf")
    with pytest.raises(UserError, match=r"cannot write .*No such file or directory"):
        draw_ledger(ledger, tmp_path / "none" / "a.png")
    with pytest.raises(UserError, match="'fr': choose en or zh"):
        draw_ledger(ledger, tmp_path / "a.png", "fr")
    with pytest.raises(UserError, match="must end in"):
        draw_evolution([0], [[1.0]], ["a"], tmp_path / "a")
    with pytest.raises(UserError, match="'fr': choose en or zh"):
        draw_evolution([0], [[1.0]], ["a"], tmp_path / "a.png", "fr")


def test_words_are_in_the_language_asked_for():
    shares = np.full((2, 11), 1 / 11)
    figure = evolution_figure([NOW - DAY, NOW], shares, list("abcdefghijk"), "zh")
    (axes,) = figure.axes
    assert axes.get_ylabel() == "占比"
    assert axes.get_legend().get_texts()[0].get_text() == "其他3项  27 %"
    for axes in ledger_figure(make_ledger(5), "zh").axes:
        assert "历史" in axes.get_title() or "分数" in axes.get_title()


def areas(figure):
    """Upper edges of the areas, lowest area first, at the last time."""
    (axes,) = figure.axes
    tops = []
    for area in axes.collections:
        corners = area.get_paths()[0].vertices
        tops.append(corners[corners[:, 0] == corners[:, 0].max(), 1].max())
    return np.array(tops)


@settings(max_examples=25)
@given(st.integers(1, 12), st.integers(1, 14), st.integers(0, 9))
def test_areas_are_the_shares_the_largest_last_share_lowest(rows, columns, seed):
    shares = np.random.default_rng(seed).dirichlet(np.ones(columns), rows)
    figure = evolution_figure(
        NOW + DAY * np.arange(rows), shares, [f"n{c}" for c in range(columns)]
    )
    last = np.sort(shares[-1])[::-1]
    shown = last[: len(drawing.SERIES)]
    others = last[len(drawing.SERIES) :]
    heights = np.diff(areas(figure), prepend=0)
    expected = [*shown, others.sum()] if len(others) else shown
    np.testing.assert_allclose(heights, expected, atol=1e-9)
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()][::-1]
    order = np.argsort(-shares[-1])[: len(shown)]
    assert [name.split()[0] for name in names[: len(shown)]] == [f"n{c}" for c in order]
    if len(others):
        assert names[-1].startswith(f"{len(others)} others")


def test_times_come_in_any_order():
    shares = np.array([[0.2, 0.8], [0.9, 0.1]])
    figure = evolution_figure([NOW, NOW - DAY], shares, ["a", "b"])
    np.testing.assert_allclose(areas(figure), [0.8, 1.0])


@pytest.mark.parametrize("times", [[], [NOW], [NOW, NOW], [NOW, NOW + 40 * DAY]])
def test_evolution_is_written_without_a_warning(tmp_path, times):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for value in (0.0, 0.5):
            draw_evolution(
                times, np.full((len(times), 2), value), ["三体", "$"], tmp_path / "e.png"
            )
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")


@settings(max_examples=25)
@given(st.floats(3, 12))
def test_every_span_has_dates(digits):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = evolution_figure([NOW - 10**digits, NOW], [[1.0], [1.0]], ["a"])
        shown = figure.axes[0].xaxis.get_major_locator()()
    assert 2 <= len(shown) <= 9


def test_wrong_shares_are_refused():
    with pytest.raises(ValueError, match=r"\[times, names\] = \(2, 1\), got \(2, 2\)"):
        evolution_figure([0, 1], np.zeros((2, 2)), ["a"])
    for bad in (-0.1, np.nan):
        with pytest.raises(ValueError, match="finite and not negative"):
            evolution_figure([0], [[bad]], ["a"])
