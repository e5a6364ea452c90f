from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrec.errors import UserError
from tfrec.interest.ledger_lines import Event, LedgerLines
from tfrec.interest.telling.sentences import explain_in_words
from tfrec.interest.telling.wording import age, columns, deed, deeds, one_line, quoted

DAY = 86_400_000
NOW = 20_000 * DAY
FOR, AGAINST = {"en": "speaks for", "zh": "有利"}, {"en": "speaks against", "zh": "不利"}
languages = pytest.mark.parametrize("language", ["en", "zh"])


def make_ledger(events, contributions, facets=("Space", "Love"), **scalars):
    contributions = np.array(contributions, np.float32).reshape(len(events), len(facets))
    values = {"quality": 0.0, "conformity": 0.0, "context": 0.0, **scalars}
    score = float(contributions.sum()) + sum(values.values())
    return LedgerLines(
        "y", "Wanted", NOW, list(events), list(facets), contributions, score=score, **values
    )


def bought(item, title, days=3.0, action="buy", strength=None):
    return Event(item, title, action, strength, int(NOW - days * DAY))


titles = st.text(max_size=80) | st.sampled_from(
    ["", "\n", "a\r\nb", "“", "”, which speaks against", "%s {title} {}", "*x* <b>", "\u202eabc"]
)
actions = st.sampled_from(["", "view", "Viewed", "buy", "rating", "hide", "{}", "odd\nthing"])


@st.composite
def ledgers(draw):
    size = draw(st.integers(0, 6))
    facets = draw(st.lists(st.sampled_from(["Space", "爱情", "", "facet_3"]), max_size=3)) or ["a"]
    number = st.floats(-8, 8, width=32) | st.just(0.0)
    events = [
        Event(
            f"i{draw(st.integers(0, 4))}",
            draw(titles),
            draw(actions),
            draw(st.sampled_from([None, 4.0, 2.5])),
            NOW - draw(st.integers(0, 3000 * DAY)),
        )
        for _ in range(size)
    ]
    cells = [draw(number) for _ in range(size * len(facets))]
    scalars = {name: draw(number) for name in ("quality", "conformity", "context")}
    return make_ledger(events, cells, facets, **scalars)


@languages
@given(ledgers())
def test_every_sentence_is_traced_to_its_lines(language, ledger):
    every_line = ledger.lines()
    whole = sum(abs(line.value) for line in every_line)
    wanted = quoted(ledger.title, ledger.item)
    for sentence in explain_in_words(ledger, language):
        text, lines = sentence.text, sentence.lines
        assert lines
        assert all(line in every_line for line in lines)
        value = sum(line.value for line in lines)

        percents = [
            int(a or b) for a, b in re.findall(r"(\d+) % of the match|占匹配度的(\d+)%", text)
        ]
        if percents:
            assert percents == [round(100 * abs(value) / whole)]
            assert percents[0] >= 1
            # The sign is said, or it is a reason given with "because".
            own = re.sub("“[^“”]*”", "", text)  # without what titles say
            says_for = FOR[language] in own or own.startswith(("Because", "因为"))
            assert says_for == (value > 0)
            assert (AGAINST[language] in own) == (value < 0)

        kinds = {line.kind for line in lines}
        if percents and kinds == {"event"}:
            events = [ledger.events[n] for n in sorted({line.event for line in lines})]
            assert len({event.item for event in events}) == 1
            assert len(lines) == len(events) * len(ledger.facets)
            last = max(events, key=lambda event: event.time)
            assert age(last.time, NOW, language) in text
            named = set(re.findall("“[^“”]*”", text)) - {wanted}
            assert named <= {quoted(last.title, last.item)}
            assert quoted(last.title, last.item) in text


@languages
@given(ledgers())
def test_nothing_in_a_title_breaks_a_sentence(language, ledger):
    for sentence in explain_in_words(ledger, language):
        text = sentence.text
        assert text.isprintable() or all(
            unicodedata.category(c) != "Cc" for c in text if not c.isprintable()
        )
        assert not set(text) & set("\n\r\t\u2028\u2029\u202e\u2066\u0085")
        assert text.encode()  # no half of a surrogate pair
        assert text.endswith("。" if language == "zh" else ".")
        # Opened and closed in turn: no title holds a quotation mark of the sentence.
        assert re.sub("[^“”]", "", text) in ("", "“”", "“”“”")
        assert len(text) < 420


@languages
@given(ledgers(), st.integers(0, 4))
def test_reasons_are_the_largest_by_item_and_no_more_than_asked(language, ledger, reasons):
    net: dict[str, float] = {}
    for event, row in zip(ledger.events, ledger.contributions.astype(np.float64), strict=True):
        net[event.item] = net.get(event.item, 0.0) + float(row.sum())
    told = [
        s
        for s in explain_in_words(ledger, language, reasons)
        if s.text.startswith(("Because", "因为"))
    ]
    expected = sorted((v for v in net.values() if v > 0), reverse=True)[:reasons]
    expected = [v for v in expected if round(100 * v / ledger.weight()) >= 1]
    assert [s.value for s in told] == pytest.approx(expected)


def texts(ledger, language="en"):
    return [sentence.text for sentence in explain_in_words(ledger, language)]


def test_a_whole_explanation():
    events = [
        bought("z", "Old Junk", 14, "hide"),
        bought("x", "Star Atlas", 3),
        bought("w", "Emma", 0.1, "rating", 5.0),
    ]
    contributions = [[-1.0, 0.0], [3.1, 0.0], [0.9, 1.5]]
    ledger = make_ledger(events, contributions, conformity=-1.5, quality=2.0)
    # Σ|line| is 10.
    assert texts(ledger) == [
        "Because you bought “Star Atlas” 3 days ago (31 % of the match, facet Space).",
        "Because you rated “Emma” 5, 2 hours ago (24 % of the match, mostly facet Love).",
        "The quality of “Wanted” speaks for it (20 % of the match).",
        "“Wanted” is less popular than a typical item at the moment, which speaks against it "
        "(15 % of the match).",
        "You hid “Old Junk” 2 weeks ago, which speaks against “Wanted” "
        "(10 % of the match, facet Space).",
    ]
    assert texts(ledger, "zh") == [
        "因为您3天前购买了“Star Atlas”（占匹配度的31%，兴趣：Space）。",
        "因为您2小时前给“Emma”打了5分（占匹配度的24%，主要兴趣：Love）。",
        "“Wanted”自身的质量对它有利（占匹配度的20%）。",
        "“Wanted”目前的热度低于一般水平，这对它不利（占匹配度的15%）。",
        "您2周前隐藏了“Old Junk”，这对“Wanted”不利（占匹配度的10%，兴趣：Space）。",
    ]


def test_a_small_counter_reason_is_not_told():
    events = [bought("z", "Z", action="hide"), bought("x", "X")]
    assert len(texts(make_ledger(events, [[-1, 0], [9.0, 0]]))) == 2
    assert len(texts(make_ledger(events, [[-0.99, 0], [9.01, 0]]))) == 1


def test_events_with_one_item_are_one_reason():
    events = [bought("x", "X", 9, "view"), bought("x", "X", 2, "view")]
    ledger = make_ledger(events, [[1, 0], [2, 0]])
    assert texts(ledger) == [
        "Because you viewed “X” 2 times, most recently 2 days ago "
        "(100 % of the match, facet Space)."
    ]
    assert texts(ledger, "zh") == [
        "因为您浏览了“X”，共2次，最近一次是2天前（占匹配度的100%，兴趣：Space）。"
    ]


@languages
def test_a_user_without_history_is_told_so(language):
    first, crowd, quality = explain_in_words(
        make_ledger([], [], quality=0.5, conformity=1.0), language
    )
    assert ("no past events" if language == "en" else "没有历史记录") in first.text
    assert {line.kind for line in first.lines} == {"quality", "conformity"}
    assert [crowd.lines[0].kind, quality.lines[0].kind] == ["conformity", "quality"]
    assert ("popular at the moment" if language == "en" else "目前很热门") in crowd.text


def test_a_history_without_supporting_events_is_told_so():
    found = texts(make_ledger([bought("x", "X")], [[-1.0, 0.0]], quality=4.0))
    assert found[0] == "Nothing in your history clearly speaks for “Wanted”."
    assert "You bought “X” 3 days ago, which speaks against “Wanted”" in found[2]


def test_a_ledger_of_zeros_is_told_so():
    ledger = make_ledger([bought("x", "X")], [[0.0, 0.0]])
    (only,) = explain_in_words(ledger, "en")
    assert "every line of its ledger is zero" in only.text
    assert only.lines == ledger.lines()


def test_facets_are_named_only_when_named_and_in_charge():
    event = [bought("x", "X")]
    for name in ("", " ", "facet 2", "Facet_2", "3"):
        assert texts(make_ledger(event, [[1, 0]], (name, "b"))) == [
            "Because you bought “X” 3 days ago (100 % of the match)."
        ]
    assert texts(make_ledger(event, [[1, 1]])) == [
        "Because you bought “X” 3 days ago (100 % of the match)."
    ]


def test_a_log_without_times_has_no_ages():
    events = [Event("x", "X", "", None, 4)]
    ledger = LedgerLines("y", "Y", 5, events, ["Space"], np.ones((1, 1)), 0.0, 0.0, 0.0, 1.0)
    assert texts(ledger) == ["Because you interacted with “X” (100 % of the match, facet Space)."]
    assert texts(ledger, "zh") == ["因为您与“X”有过互动（占匹配度的100%，兴趣：Space）。"]


@pytest.mark.parametrize(
    ("milliseconds", "english", "chinese"),
    [
        (-5, "just now", "刚刚"),
        (59_999, "just now", "刚刚"),
        (60_000, "1 minute ago", "1分钟前"),
        (3_599_999, "59 minutes ago", "59分钟前"),
        (3_600_000, "1 hour ago", "1小时前"),
        (DAY - 1, "23 hours ago", "23小时前"),
        (DAY, "1 day ago", "1天前"),
        (7 * DAY - 1, "6 days ago", "6天前"),
        (7 * DAY, "1 week ago", "1周前"),
        (30 * DAY - 1, "4 weeks ago", "4周前"),
        (30 * DAY, "1 month ago", "1个月前"),
        (365 * DAY - 1, "11 months ago", "11个月前"),
        (365 * DAY, "1 year ago", "1年前"),
        (731 * DAY, "2 years ago", "2年前"),
    ],
)
def test_ages(milliseconds, english, chinese):
    assert age(NOW - milliseconds, NOW, "en") == english
    assert age(NOW - milliseconds, NOW, "zh") == chinese


@pytest.mark.parametrize(
    ("action", "strength", "english", "chinese"),
    [
        ("view", None, "viewed X", "浏览了X"),
        ("PageView", None, "viewed X", "浏览了X"),
        ("clicks", 3.0, "clicked on X", "点击了X"),
        ("add_to_cart", None, "put X in the cart", "把X加入了购物车"),
        ("购买", None, "bought X", "购买了X"),
        ("liked", None, "liked X", "点赞了X"),
        ("disliked", None, "disliked X", "对X表示了不喜欢"),
        ("not-interested", None, "hid X", "隐藏了X"),
        ("rate", 4.5, "rated X 4.5", "给X打了4.5分"),
        ("rate", None, "rated X", "给X打了分"),
        ("", 4.0, "interacted with X (strength 4)", "与X有过互动（强度4）"),
        ("", float("nan"), "interacted with X", "与X有过互动"),
        ("{} zap\n", None, "interacted with X ({} zap)", "与X有过互动（{} zap）"),
    ],
)
def test_verbs(action, strength, english, chinese):
    event = Event("x", "X", action, strength, 0)
    assert deed(event, "X", "en") == english
    assert deed(event, "X", "zh") == chinese


def test_several_deeds():
    events = [Event("x", "X", action, None, 0) for action in ("view", "cart", "view", "buy")]
    assert deeds(events, "X", "en") == "put X in the cart, viewed it and bought it"
    assert deeds(events, "X", "zh") == "把X加入了购物车，浏览了它，还购买了它"


@given(st.text(), st.integers(4, 60))
def test_one_line_fits(text, widest):
    found = one_line(text, widest=widest)
    assert found == found.strip()
    assert found
    assert columns(found) <= widest
    assert "  " not in found
    assert one_line(found, widest=widest) == found


def test_one_line_keeps_what_fits_and_shortens_the_rest():
    assert one_line("x" * 48) == "x" * 48
    assert one_line("x" * 49) == "x" * 47 + "…"
    assert one_line("三" * 30) == "三" * 23 + "…"
    assert one_line("a\u202eb\x00c\ud800") == "ab c"
    assert one_line("\u0301\u200b", "b7") == "b7"
    assert one_line("", "\n") == "?"
    assert one_line("e" + "\u0301" * 10_000).endswith("…")


def test_unknown_language_and_counts_are_refused():
    ledger = make_ledger([], [])
    with pytest.raises(UserError, match="'fr': choose en or zh"):
        explain_in_words(ledger, "fr")
    with pytest.raises(ValueError, match="reasons must not be negative, got -1"):
        explain_in_words(ledger, "en", reasons=-1)
