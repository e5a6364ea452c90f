"""The answer about one user as a page for the console."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from tfrec.interest.asking.answer import Answer
from tfrec.interest.asking.answer_words import Text
from tfrec.interest.asking.calibrated import Calibrated
from tfrec.interest.asking.explained import Explained
from tfrec.interest.asking.overview import Overview
from tfrec.interest.asking.steered import Steered
from tfrec.interest.telling.wording import columns, one_line, quoted

WIDTH, BAR = 100, 24
CATEGORIES = 6  # shown of a distribution
MOMENTS = 6  # shown of an evolution


def page(answer: Answer) -> str:
    """The whole answer, in the language of the question."""
    text = Text(answer.question.language)
    lines = [_head(answer, text)]
    for part in (
        _intensity(answer.explained, text),
        _distribution(answer.overview, text),
        _parts(answer.overview, text),
        _reasons(answer.explained, text),
        _evolution(answer.overview, text),
        _wishes(answer.steered, text),
        _calibrated(answer.calibrated, text),
    ):
        found = list(part)
        if found:
            lines += ["", *found]
    return "\n".join(lines)


def _head(answer: Answer, text: Text) -> str:
    from tfrec.data.timestamps import show

    asked = answer.asked
    timed = asked.timed
    events, read = asked.history.num_events, int(asked.readings.real.sum())
    span = ""
    if answer.span and timed:
        first, last = (show(time)[:10] for time in answer.span)
        span = text("span", first=first, last=last)
    head = text(
        "user",
        user=one_line(asked.user) if asked.user else text("new"),
        events=f"{events:,}",
        span=span,
        read=text("read", read=read) if read < events else "",
        at=show(asked.time) if timed else "-",
    )
    return head if timed else head.rsplit("；" if "；" in head else ";", 1)[0]


def _intensity(explained: Sequence[Explained], text: Text) -> Iterator[str]:
    yield text("intensity")
    if not explained:
        yield "  " + text("empty")
        return
    first = explained[0].intensity
    graded = first is not None and first.strength is not None
    head = text("columns") + text("probability") * (first is not None) + text("strength") * graded
    yield "  " + head + text("item")
    for one in explained:
        rank = str(one.rank) if one.rank else "-"
        note = "" if one.rank else f" ({text('seen')})"
        much = ""
        if one.intensity is not None:
            much = f"  {one.intensity.probability:7.2%}"
        if one.intensity is not None and one.intensity.strength is not None:
            much += f"  {one.intensity.strength:8.2f}"
        yield f"  {rank:>4} {one.ledger.score:7.3f}{much}  {_title(one)}{note}"


def _distribution(overview: Overview, text: Text) -> Iterator[str]:
    items = f"{overview.asked.data.num_items:,}"
    yield text("distribution", alike=overview.alike, items=items)
    shown = [(one_line(name, widest=28), mass) for name, mass in overview.masses[:CATEGORIES]]
    yield from _bars(shown)


def _parts(overview: Overview, text: Text) -> Iterator[str]:
    yield text("disentanglement")
    notes = {
        report.name: text("half-life", age=text.age(report.half_life_days))
        for report in overview.asked.reports
    }
    facets = len(notes)
    shares = list(overview.shares.items())
    rows = [(name, share) for name, share in shares[:facets]]
    rows += [(text(name), share) for name, share in shares[facets:] if share > 0]
    yield from _bars(rows, notes)


def _evolution(overview: Overview, text: Text) -> Iterator[str]:
    from tfrec.data.timestamps import show

    evolution = overview.evolution
    if evolution is None:
        return
    if overview.categories:
        what, names = "categories", [name for name, _ in overview.masses]
        table = evolution.category_probabilities[0]
        places = [overview.categories.index(name) for name in names]
    else:
        what, names = "shares", overview.asked.facets
        table = evolution.line_shares[0]
        places = list(range(len(names)))
    kept = [(place, one_line(name, widest=14)) for place, name in zip(places, names, strict=True)]
    kept = kept[:CATEGORIES]
    yield text("evolution", what=text(what))
    wide = [max(columns(name), 4) for _, name in kept]
    heads = [
        " " * (width - columns(name)) + name for width, (_, name) in zip(wide, kept, strict=True)
    ]
    head = text("events column")
    yield (
        "  " + " " * 10 + " " * (8 - columns(head)) + head + "".join(f"  {name}" for name in heads)
    )
    last = len(evolution.times[0]) - 1
    for place in sorted({round(last * step / (MOMENTS - 1)) for step in range(MOMENTS)}):
        cells = "".join(
            f"  {table[place, column]:{width}.0%}"
            for width, (column, _) in zip(wide, kept, strict=True)
        )
        day = show(int(evolution.times[0, place]))[:10]
        yield f"  {day}{evolution.events[0, place]:8,}{cells}"


def _reasons(explained: Sequence[Explained], text: Text) -> Iterator[str]:
    if not explained:
        return
    yield text("explanation")
    for one in explained:
        rank = text("rank", rank=one.rank) if one.rank else text("seen")
        yield f"  {_title(one)}: {text('score')} {one.ledger.score:.3f}, {rank}"
        for sentence in one.sentences:
            yield from _hanging(f"{sentence.value:+9.3f}  ", sentence.text)
        if one.strongest is not None:
            event = one.strongest.event
            without = text(
                "without",
                title=quoted(event.title, event.item),
                frozen=f"{one.strongest.frozen:+.3f}",
                again=f"{one.strongest.reencoded:+.3f}",
            )
            yield from _hanging(" " * 11, without)
    yield "  " + text("sum", error=max(abs(one.ledger.residual_error) for one in explained))


def _wishes(steered: Steered | None, text: Text) -> Iterator[str]:
    if steered is None:
        return
    gains = steered.gains
    said = [
        f"{name} × {gain:g}"
        for name, gain in zip(steered.facets, gains.facet_gain.tolist(), strict=True)
        if gain != 1
    ]
    if gains.conformity_gain != 1:
        said.append(f"{text('crowd')} × {gains.conformity_gain:g}")
    if steered.feedback.history != 1:
        said.append(f"{text('history')} × {steered.feedback.history:g}")
    titles = dict.fromkeys(quoted(event.title, event.item) for event in steered.forgotten)
    if titles:
        said.append(text("forgotten", titles=", ".join(titles)))
    yield text("wishes", gains=", ".join(said) or text("nothing"))
    if not steered.after:
        yield "  " + text("empty")
        return
    yield "  " + text("wished columns")
    for now, moved in enumerate(steered.after, start=1):
        was = str(moved.rank_before or "-")
        yield (
            f"  {now:>4} {was:>4} {moved.after:7.3f} {moved.before:7.3f} "
            f"{moved.promised:+7.3f}  {one_line(moved.title, moved.item)}"
        )
    yield from _hanging("  ", text("promise", error=steered.error))


def _calibrated(calibrated: Calibrated | None, text: Text) -> Iterator[str]:
    if calibrated is None:
        return
    yield text("calibrated", strength=f"{calibrated.strength:g}")
    yield "  " + text("calibrated columns")
    for now, (name, rank) in enumerate(
        zip(calibrated.names, calibrated.ranks, strict=True), start=1
    ):
        yield f"  {now:>4} {rank:>4}  {one_line(name.title, name.item)}"
    before, after = calibrated.divergences
    yield from _hanging("  ", text("divergence", before=f"{before:.3f}", after=f"{after:.3f}"))


def _bars(rows: Sequence[tuple[str, float]], notes: dict[str, str] | None = None) -> Iterator[str]:
    wide = max((columns(name) for name, _ in rows), default=0)
    most = max((share for _, share in rows), default=0) or 1
    for name, share in rows:
        bar = "█" * round(BAR * share / most) or "▏"
        note = (notes or {}).get(name, "")
        padded = name + " " * (wide - columns(name))
        yield f"  {padded}  {share:4.0%}  {bar:{BAR if note else 0}}  {note}".rstrip()


def _right(words: str, width: int) -> str:
    return " " * (width - columns(words)) + words


def _hanging(first: str, sentence: str) -> list[str]:
    if columns(sentence) > len(sentence):  # Chinese has no spaces to break at
        return [first + sentence]
    return textwrap.wrap(sentence, WIDTH, initial_indent=first, subsequent_indent=" " * len(first))


def _title(one: Explained) -> str:
    return one_line(one.ledger.title, one.ledger.item, widest=64)
