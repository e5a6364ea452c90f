"""A ledger in words: every sentence comes from lines of the ledger and carries them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tfrec.data.user_texts import PROFILE
from tfrec.errors import UserError
from tfrec.interest.ledger_lines import Kind, LedgerLines, Line
from tfrec.interest.telling.wording import age, deeds, facet_name, quoted

LANGUAGES = ("en", "zh")
COUNTER_SHARE = 0.10  # of Σ|line|, from which on a counter-reason is told

_ENGLISH = {
    "for": "Because you {deeds}{when} ({share} % of the match{facet}).",
    "against": "You {deeds}{when}, which speaks against {title} ({share} % of the match{facet}).",
    "conformity+": "{title} is popular at the moment, which speaks for it "
    "({share} % of the match).",
    "conformity-": "{title} is less popular than a typical item at the moment, "
    "which speaks against it ({share} % of the match).",
    "quality+": "The quality of {title} speaks for it ({share} % of the match).",
    "quality-": "The quality of {title} speaks against it ({share} % of the match).",
    "context+": "The context of the request speaks for {title} ({share} % of the match).",
    "context-": "The context of the request speaks against {title} ({share} % of the match).",
    "facet": ", facet {name}",
    "mostly": ", mostly facet {name}",
    "once": " {age}",
    "latest": ", most recently {age}",
    "no history": "There are no past events to go by: what remains is the quality of {title} "
    "and how popular it is.",
    "nothing for": "Nothing in your history clearly speaks for {title}.",
    "all zero": "Nothing speaks for {title} or against it: every line of its ledger is zero.",
}
_CHINESE = {
    "for": "因为您{when}{deeds}（占匹配度的{share}%{facet}）。",
    "against": "您{when}{deeds}，这对{title}不利（占匹配度的{share}%{facet}）。",
    "conformity+": "{title}目前很热门，这对它有利（占匹配度的{share}%）。",
    "conformity-": "{title}目前的热度低于一般水平，这对它不利（占匹配度的{share}%）。",
    "quality+": "{title}自身的质量对它有利（占匹配度的{share}%）。",
    "quality-": "{title}自身的质量对它不利（占匹配度的{share}%）。",
    "context+": "本次请求的情境对{title}有利（占匹配度的{share}%）。",
    "context-": "本次请求的情境对{title}不利（占匹配度的{share}%）。",
    "facet": "，兴趣：{name}",
    "mostly": "，主要兴趣：{name}",
    "once": "{age}",
    "latest": "，最近一次是{age}",
    "no history": "您还没有历史记录，因此这里只考虑{title}自身的质量和热度。",
    "nothing for": "您的历史记录中没有明显对{title}有利的内容。",
    "all zero": "没有任何因素对{title}有利或不利：账目中的每一项都是零。",
}
TEMPLATES = {"en": _ENGLISH, "zh": _CHINESE}


@dataclass(frozen=True)
class Sentence:
    """A sentence and the ledger lines it was made from; its percentage is |Σ lines| / Σ|all|."""

    text: str
    lines: list[Line]

    @property
    def value(self) -> float:
        """What the lines of the sentence add to the score."""
        return sum(line.value for line in self.lines)


def explain_in_words(ledger: LedgerLines, language: str, reasons: int = 3) -> list[Sentence]:
    """The ledger in sentences, the most important first.

    Events with one item make one reason. Told are the strongest reasons for, the strongest
    reason against when it holds `COUNTER_SHARE` of Σ|line|, and crowd, quality and context; first
    of all that the history says nothing, where it does not. What would round to 0 % is left out.

    Arguments:
        language: "en" or "zh".
        reasons: how many supporting reasons at most.

    Raises:
        UserError: the language is not one of `LANGUAGES`.
        ValueError: `reasons` is negative.

    Example:
        >>> import numpy as np
        >>> from tfrec.interest.ledger_lines import Event
        >>> day, now = 86_400_000, 20_000 * 86_400_000
        >>> seen = [Event("b1", "Dune", "buy", None, now - 3 * day)]
        >>> ledger = LedgerLines("b3", "Solaris", now, seen, ["Space"],
        ...                      np.array([[1.5]]), 0.0, -0.5, 0.0, 1.0)
        >>> for sentence in explain_in_words(ledger, "en"):
        ...     print(sentence.text)
        Because you bought “Dune” 3 days ago (75 % of the match, facet Space).
        “Solaris” is less popular than a typical item at the moment,
            which speaks against it (25 % of the match).
        >>> print(explain_in_words(ledger, "zh")[0].text)
        因为您3天前购买了“Dune”（占匹配度的75%，兴趣：Space）。
    """
    if language not in LANGUAGES:
        raise UserError(f"no sentences in the language {language!r}: choose en or zh")
    if reasons < 0:
        raise ValueError(f"reasons must not be negative, got {reasons}")
    return list(_Writer(ledger, language).sentences(reasons))


class _Writer:
    def __init__(self, ledger: LedgerLines, language: str) -> None:
        self.ledger, self.language = ledger, language
        self.template = TEMPLATES[language]
        self.whole = ledger.weight()
        self.title = quoted(ledger.title, ledger.item)
        self.scalars: dict[Kind, Line] = {
            line.kind: line for line in ledger.lines() if line.event is None
        }

    def sentences(self, reasons: int) -> Iterator[Sentence]:
        if not self.ledger.events:
            told = [line for line in self.scalars.values() if line.kind != "context"]
            yield Sentence(self.template["no history"].format(title=self.title), told)
        if self.whole == 0:
            yield Sentence(self.template["all zero"].format(title=self.title), self.ledger.lines())
        groups = self._by_item()
        values = self.ledger.per_event()
        net = {item: float(values[events].sum()) for item, events in groups.items()}
        if groups and self.whole and not any(self._speaks_for(x) for x in net.values()):
            lines = [line for line in self.ledger.lines() if line.kind == "event"]
            yield Sentence(self.template["nothing for"].format(title=self.title), lines)
        parts = [
            *self._of_history(groups, net, reasons),
            *self._of_scalar("conformity"),
            *self._of_scalar("quality"),
            *self._of_scalar("context"),
        ]
        # Sorting keeps the order of equals.
        yield from sorted(parts, key=lambda part: -abs(part.value))

    def _of_history(
        self, groups: dict[str, list[int]], net: dict[str, float], reasons: int
    ) -> Iterator[Sentence]:
        ordered = sorted(net, key=lambda item: net[item])
        supporting = [x for x in reversed(ordered) if self._speaks_for(net[x])]
        for item in supporting[:reasons]:
            yield self._of_events("for", groups[item], net[item])
        for item in ordered[:1]:
            if net[item] < 0 and -net[item] >= COUNTER_SHARE * self.whole:
                yield self._of_events("against", groups[item], net[item])

    def _speaks_for(self, value: float) -> bool:
        return value > 0 and self._percent(value) > 0

    def _by_item(self) -> dict[str, list[int]]:
        groups: dict[str, list[int]] = {}
        for place, event in enumerate(self.ledger.events):
            groups.setdefault(event.item, []).append(place)
        return groups

    def _of_events(self, name: str, places: list[int], value: float) -> Sentence:
        events = [self.ledger.events[place] for place in places]
        last = max(events, key=lambda event: event.time)
        # How old a profile is says nothing.
        said = last.action == PROFILE
        ago = "" if said else age(last.time, self.ledger.request_time, self.language)
        when = self.template["once" if len(events) == 1 else "latest"].format(age=ago)
        did = deeds(events, quoted(last.title, last.item), self.language)
        if self.language == "zh" and len(events) > 1:
            did, when = did + (when if ago else ""), ""
        elif did[-1].isdigit() and when.startswith(" "):
            when = "," + when  # "rated it 5, 3 days ago"
        text = self.template[name].format(
            deeds=did,
            when=when if ago else "",
            share=self._percent(value),
            facet=self._facet(places, value),
            title=self.title,
        )
        chosen = set(places)
        return Sentence(text, [line for line in self.ledger.lines() if line.event in chosen])

    def _facet(self, places: list[int], value: float) -> str:
        """The facet that carries the reason, if one does and has a name."""
        rows = self.ledger.contributions[places].sum(axis=0, dtype="float64")  # [K]
        towards = rows * (1 if value > 0 else -1)
        facet = int(towards.argmax())
        name = facet_name(self.ledger.facets[facet])
        part = towards[facet] / abs(rows).sum()
        if not name or part <= 0.5:
            return ""
        return self.template["facet" if part >= 0.95 else "mostly"].format(name=name)

    def _of_scalar(self, kind: Kind) -> Iterator[Sentence]:
        line = self.scalars[kind]
        share = self._percent(line.value)
        if share > 0:
            template = self.template[kind + ("+" if line.value > 0 else "-")]
            yield Sentence(template.format(title=self.title, share=share), [line])

    def _percent(self, value: float) -> int:
        return round(100 * abs(value) / self.whole) if self.whole else 0
