"""Words for what happened and when, in English and Chinese, and titles made fit for a sentence."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence

from tfrec.interest.ledger_lines import Event

ELLIPSIS = "…"
_JOINERS = "\u200c\u200d"  # part of Persian words and of composed emoji
# A log without times has the order of its rows in place of them: small numbers.
FIRST_TIME = 365 * 86_400_000

_SECOND, _MINUTE, _HOUR, _DAY = 1000, 60_000, 3_600_000, 86_400_000
# Largest first: from this age on, this unit; lengths of month and year are Gregorian means.
UNITS: tuple[tuple[float, float, str, str], ...] = (
    (365 * _DAY, 365.2425 * _DAY, "year", "年"),
    (30 * _DAY, 30.436875 * _DAY, "month", "个月"),
    (7 * _DAY, 7 * _DAY, "week", "周"),
    (_DAY, _DAY, "day", "天"),
    (_HOUR, _HOUR, "hour", "小时"),
    (_MINUTE, _MINUTE, "minute", "分钟"),
)
JUST_NOW = {"en": "just now", "zh": "刚刚"}

# action: (English, Chinese); {} stands for the item.
_DEEDS = {
    "view": ("viewed {}", "浏览了{}"),
    "click": ("clicked on {}", "点击了{}"),
    "buy": ("bought {}", "购买了{}"),
    "order": ("ordered {}", "下单了{}"),
    "cart": ("put {} in the cart", "把{}加入了购物车"),
    "rate": ("rated {}", "给{}打了分"),
    "like": ("liked {}", "点赞了{}"),
    "love": ("loved {}", "对{}表示了喜爱"),
    "save": ("saved {}", "收藏了{}"),
    "share": ("shared {}", "分享了{}"),
    "comment": ("commented on {}", "评论了{}"),
    "review": ("reviewed {}", "评价了{}"),
    "search": ("searched for {}", "搜索了{}"),
    "watch": ("watched {}", "观看了{}"),
    "play": ("played {}", "播放了{}"),
    "listen": ("listened to {}", "收听了{}"),
    "read": ("read {}", "阅读了{}"),
    "download": ("downloaded {}", "下载了{}"),
    "follow": ("followed {}", "关注了{}"),
    "dislike": ("disliked {}", "对{}表示了不喜欢"),
    "hide": ("hid {}", "隐藏了{}"),
    "skip": ("skipped {}", "跳过了{}"),
    "block": ("blocked {}", "屏蔽了{}"),
    "report": ("reported {}", "举报了{}"),
    "return": ("returned {}", "退回了{}"),
    "profile": ("said of yourself {}", "自我介绍为{}"),
}
_ALSO_CALLED = {
    "view": "views pageview productview itemview detail pv impression see browse 浏览 查看",
    "click": "clk tap open 点击",
    "buy": "bought purchase transaction checkout pay paid 购买 支付 成交",
    "order": "下单",
    "cart": "addtocart addcart basket addtobasket 加购 加入购物车",
    "rate": "rating ratings stars score 评分 打分",
    "like": "thumbsup upvote 点赞 喜欢",
    "save": "fav favorite favourite bookmark wishlist collect 收藏",
    "share": "forward retweet 分享 转发",
    "comment": "reply 评论",
    "review": "评价",
    "search": "query 搜索",
    "watch": "watching 观看",
    "play": "stream 播放",
    "listen": "收听",
    "read": "reading 阅读",
    "download": "install 下载",
    "follow": "subscribe 关注 订阅",
    "dislike": "thumbsdown downvote 不喜欢 踩",
    "hide": "hidden hid notinterested 隐藏 不感兴趣",
    "return": "refund 退货 退款",
    "skip": "跳过",
    "block": "屏蔽",
    "report": "举报",
}
_NAMES = {name: name for name in _DEEDS} | {
    other: name for name, others in _ALSO_CALLED.items() for other in others.split()
}


def one_line(text: str, otherwise: str = "?", widest: int = 48) -> str:
    """`text` as part of one line: no control characters, runs of blanks as one, not too long.

    Plain text: whoever puts it into HTML or Markdown escapes it there.

    Arguments:
        otherwise: taken when nothing in `text` is visible.
        widest: columns; Chinese, Japanese and Korean characters take two.

    Example:
        >>> one_line("  War\\nand\\tPeace ")
        'War and Peace'
        >>> one_line("三体三体三体", widest=8)
        '三体三…'
    """
    text = text[: 16 * widest]  # a text of a megabyte is not read to its end
    drawn = " ".join("".join(map(_drawn, text)).split()).lstrip(_JOINERS)
    while drawn and unicodedata.category(drawn[0])[0] == "M":
        drawn = drawn[1:].lstrip(" " + _JOINERS)  # a mark would sit on the character before
    if not any(unicodedata.category(character)[0] in "LNPS" for character in drawn):
        return one_line(otherwise, "?", widest) if otherwise != "?" else "?"
    return _shortened(drawn, widest)


def _drawn(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cc" or category[0] == "Z":
        return " "
    # Formatting characters can turn the direction of the rest of the sentence.
    return character if category[0] != "C" or character in _JOINERS else ""


def _shortened(text: str, widest: int) -> str:
    used = 0
    for place, character in enumerate(text):
        used += columns(character)
        # Marks have no width of their own, so their number is bounded too.
        if used > widest or place >= 2 * widest:
            kept = text[:place]
            while columns(kept) > widest - 1:
                kept = kept[:-1]
            return kept.rstrip(" " + _JOINERS) + ELLIPSIS
    return text


def columns(text: str) -> int:
    """How wide `text` is in a font with characters of one and two columns."""
    return sum(
        0
        if unicodedata.category(character)[0] == "M"
        else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def quoted(title: str, item: str, widest: int = 48) -> str:
    """The title on one line between “ and ”, which then occur nowhere inside it.

    Example:
        >>> quoted("The “Big” One", "b7"), quoted(" ", "b7")
        ('“The ‘Big’ One”', '“b7”')
    """
    inside = one_line(title, one_line(item), widest).replace("“", "‘").replace("”", "’")
    return f"“{inside}”"


def deed(event: Event, named: str, language: str) -> str:
    """What the user did, `named` being the item, with the value of a rating.

    Example:
        >>> deed(Event("b1", "Dune", "purchase", None, 0), "“Dune”", "en")
        'bought “Dune”'
        >>> deed(Event("b1", "Dune", "rating", 5.0, 0), "“Dune”", "zh")
        '给“Dune”打了5分'
    """
    chinese = language == "zh"
    action = _known_action(event.action)
    value = _number(event.strength)
    if action == "rate" and value:
        return f"给{named}打了{value}分" if chinese else f"rated {named} {value}"
    if action:
        return _DEEDS[action][chinese].replace("{}", named)
    details = [one_line(event.action, widest=24)] if event.action.strip() else []
    if value and not details:
        details = [f"强度{value}" if chinese else f"strength {value}"]
    if chinese:
        return f"与{named}有过互动" + (f"（{details[0]}）" if details else "")
    return f"interacted with {named}" + (f" ({details[0]})" if details else "")


def deeds(events: Sequence[Event], named: str, language: str) -> str:
    """What the user did with one item, in the order of `events`.

    Example:
        >>> seen = [Event("b1", "Dune", action, None, 0) for action in ("view", "view", "buy")]
        >>> deeds(seen[:2], "“Dune”", "en"), deeds(seen, "“Dune”", "en")
        ('viewed “Dune” 2 times', 'viewed “Dune” and bought it')
    """
    chinese = language == "zh"
    again = "它" if chinese else "it"
    # One entry per deed, where it happened last; the latest three are told.
    last = {deed(event, again, language): place for place, event in enumerate(events)}
    told = [events[place] for place in sorted(last.values())[-3:]]
    texts = [deed(event, again if n else named, language) for n, event in enumerate(told)]
    if len(texts) > 1:
        between, final = ("，", "，还") if chinese else (", ", " and ")
        return between.join(texts[:-1]) + final + texts[-1]
    if len(events) == 1:
        return texts[0]
    return f"{texts[0]}，共{len(events)}次" if chinese else f"{texts[0]} {len(events)} times"


def age(time: int, now: int, language: str) -> str:
    """How long before `now` the unix milliseconds `time` were; "" when they are no real times.

    Example:
        >>> day = 86_400_000
        >>> now = 20_000 * day
        >>> age(now - 3 * day, now, "en"), age(now - 61 * day, now, "zh")
        ('3 days ago', '2个月前')
    """
    if time < FIRST_TIME or now < FIRST_TIME:
        return ""
    passed = now - time
    for least, length, english, chinese in UNITS:
        if passed >= least:
            count = max(1, int(passed / length))
            if language == "zh":
                return f"{count}{chinese}前"
            return f"{count} {english}{'s' if count > 1 else ''} ago"
    return JUST_NOW[language]


def facet_name(name: str) -> str:
    """The name on one line, or "" for a facet that has no more than a number."""
    blank = not name.strip() or re.fullmatch(r"\s*(facet)?[\s_-]*\d*\s*", name, re.IGNORECASE)
    # The sentence itself says that it is a facet.
    return "" if blank else one_line(re.sub(r"^\s*facet\s+(?=\d)", "", name), "", 24)


def _known_action(action: str) -> str | None:
    plain = re.sub(r"[\W_]+", "", action).casefold()
    # "viewed", "liked", "clicks" and "rating" as well as the plain verb.
    endings = ("", "s", "d", "ed", "ing")
    stems = (plain.removesuffix(end) for end in endings if plain.endswith(end))
    return next((_NAMES[stem] for stem in stems if stem in _NAMES), None)


def _number(strength: float | None) -> str:
    return "" if strength is None or not math.isfinite(strength) else f"{strength:.6g}"
