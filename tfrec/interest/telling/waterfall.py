"""The steps of a score's waterfall: what is drawn by `pictures.draw_ledger` on the left."""

from __future__ import annotations

from dataclasses import dataclass, field

from tfrec.errors import UserError
from tfrec.interest.ledger_lines import Float64, LedgerLines
from tfrec.interest.telling.wording import age, deed, quoted

MOST_REASONS = 6
# Below this part of Σ|line| what the model answered beyond the ledger is rounding.
NOTABLE_ERROR = 0.005

_WORDS = {
    "en": {
        "sum": "What makes up the score",
        "score axis": "score",
        "quality": "quality of the item",
        "conformity": "popularity at the moment",
        "context": "context of the request",
        "events": "{title} ({count} events)",
        "others": "{count} other events",
        "residual": "not in the ledger",
        "score": "score",
        "history": "The history, event by event",
        "no history": "no past events",
        "line axis": "adds to the score",
        "date axis": "date (UTC), dotted: now",
        "order axis": "events in order, the latest on the right",
        "facet": "facet",
        "share": "share",
        "rest": "{count} others",
        "nothing": "there is nothing to draw",
    },
    "zh": {
        "sum": "分数的构成",
        "score axis": "分数",
        "quality": "物品自身的质量",
        "conformity": "当前热度",
        "context": "本次请求的情境",
        "events": "{title}（{count}个事件）",
        "others": "其他{count}个事件",
        "residual": "账目之外",
        "score": "总分",
        "history": "历史事件的贡献",
        "no history": "没有历史事件",
        "line axis": "对分数的贡献",
        "date axis": "日期（UTC），虚线为现在",
        "order axis": "按时间顺序，最新的在右侧",
        "facet": "兴趣",
        "share": "占比",
        "rest": "其他{count}项",
        "nothing": "没有可画的内容",
    },
}


@dataclass(frozen=True)
class Step:
    """One bar.

    Attributes:
        start: the sum of the bars before it; 0 for the score, the last one.
        number: 1, 2, … of a reason; None for bars that are no reason.
        events: positions in the history, the largest |contribution| first.
    """

    label: str
    start: float
    value: float
    number: int | None = None
    events: list[int] = field(default_factory=list)


def words(language: str) -> dict[str, str]:
    """The words of the picture.

    Raises:
        UserError: there are none in `language`.
    """
    if language not in _WORDS:
        raise UserError(f"no picture in the language {language!r}: choose {' or '.join(_WORDS)}")
    return _WORDS[language]


def steps(ledger: LedgerLines, language: str = "en") -> list[Step]:
    """Quality, crowd, the largest reasons, the other events, context, and the score as the last.

    Events with one item make one reason, as in the sentences; the values before the last one
    sum to the score.

    Example:
        >>> import numpy as np
        >>> from tfrec.interest.ledger_lines import Event
        >>> seen = [Event("b1", "Dune", "buy", None, 0)]
        >>> ledger = LedgerLines("b3", "Solaris", 0, seen, ["space"],
        ...                      np.array([[1.5]]), 0.5, -0.25, 0.0, 1.75)
        >>> for step in steps(ledger):
        ...     print(f"{step.label}: {step.start} {step.value:+}")
        quality of the item: 0.0 +0.5
        popularity at the moment: 0.5 -0.25
        1  bought “Dune”: 0.25 +1.5
        score: 0.0 +1.75
    """
    text = words(language)
    bars = [
        Step(text["quality"], 0, ledger.quality),
        Step(text["conformity"], 0, ledger.conformity),
    ]
    bars += _of_events(ledger, language)
    if ledger.context:
        bars.append(Step(text["context"], 0, ledger.context))
    if abs(ledger.residual_error) > NOTABLE_ERROR * ledger.weight():
        bars.append(Step(text["residual"], 0, ledger.residual_error))
    placed, so_far = [], 0.0
    for bar in bars:
        placed.append(Step(bar.label, so_far, float(bar.value), bar.number, bar.events))
        so_far += float(bar.value)
    return [*placed, Step(text["score"], 0.0, float(ledger.score))]


def _of_events(ledger: LedgerLines, language: str) -> list[Step]:
    values = ledger.per_event()
    groups: dict[str, list[int]] = {}
    for place, event in enumerate(ledger.events):
        groups.setdefault(event.item, []).append(place)
    net = {item: float(values[places].sum()) for item, places in groups.items()}
    ordered = sorted(net, key=lambda item: -abs(net[item]))
    # A bar for one item left over is as long to read as its name.
    most = MOST_REASONS if len(ordered) > MOST_REASONS + 1 else len(ordered)
    found = [
        Step(
            _label(ledger, groups[item], n, language),
            0,
            net[item],
            n,
            _by_size(groups[item], values),
        )
        for n, item in enumerate(ordered[:most], start=1)
    ]
    others = [place for item in ordered[most:] for place in groups[item]]
    if others:
        name = words(language)["others"].format(count=len(others))
        found.append(Step(name, 0, float(values[others].sum()), None, _by_size(others, values)))
    return found


def _by_size(places: list[int], values: Float64) -> list[int]:
    return sorted(places, key=lambda place: -abs(values[place]))


def _label(ledger: LedgerLines, places: list[int], number: int, language: str) -> str:
    events = [ledger.events[place] for place in places]
    last = max(events, key=lambda event: event.time)
    named = quoted(last.title, last.item, 30)
    if len(events) == 1:
        did = deed(last, named, language)
    else:
        did = words(language)["events"].format(count=len(events), title=named)
    when = age(last.time, ledger.request_time, language)
    comma = "，" if language == "zh" else ", "
    return f"{number}  {did}" + (comma + when if when else "")
