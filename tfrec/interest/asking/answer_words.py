"""What the page of an answer says, in English and Chinese."""

from __future__ import annotations

_ENGLISH = {
    "user": "User {user}: {events} events{span}{read}; asked at {at}",
    "span": " from {first} to {last}",
    "new": "(new)",
    "read": ", the newest {read} read",
    "intensity": "How much",
    "columns": "rank   score",
    "probability": " P(taken)",
    "strength": "  strength",
    "item": "  item",
    "evolution": "Since when: {what} over time, items of the history included",
    "categories": "probability of the categories",
    "shares": "share of what moves the scores",
    "events column": "events",
    "distribution": "What overall: spread as over {alike:.0f} of {items} equally likely items",
    "disentanglement": "Which parts: share of what moves the scores of the items to be expected",
    "half-life": "an event counts half after {age}",
    "quality": "quality of the items",
    "crowd": "the crowd",
    "history": "the history",
    "calibrated": "Calibrated list: probability against the categories of the history, λ = "
    "{strength}",
    "calibrated columns": " now  was  item",
    "divergence": "Divergence of its categories from the history's: {before} before, {after} now "
    "(nats; Steck 2018).",
    "context": "context of the request",
    "explanation": "Why",
    "seen": "already in the history",
    "rank": "rank {rank}",
    "score": "score",
    "without": "Without {title} the score moves by {frozen} with frozen weights (its lines), by "
    "{again} encoded again.",
    "sum": "The lines of each item sum to its score (largest difference {error:.0e}).",
    "wishes": "After the wishes: {gains}",
    "nothing": "no line is touched",
    "wished columns": " now  was   score     was  change  item",
    "promise": "Every score moves by (gain - 1) x its own lines, as told before ranking again "
    "(largest difference {error:.0e}).",
    "forgotten": "forgotten: {titles}",
    "empty": "Nothing is left to recommend.",
    "units": ("minutes", "hours", "days"),
}
_CHINESE = {
    "user": "用户{user}：{events}条记录{span}{read}；询问时间{at}",
    "span": "，从{first}到{last}",
    "new": "（新）",
    "read": "，读取最近{read}条",
    "intensity": "强度",
    "columns": "名次    得分",
    "probability": "  选择概率",
    "strength": "  预期强度",
    "item": "  物品",
    "evolution": "演变：{what}随时间的变化（包括历史中的物品）",
    "categories": "各类别的概率",
    "shares": "各部分的影响占比",
    "events column": "记录",
    "distribution": "分布：分散程度相当于{items}个物品中{alike:.0f}个同等可能的物品",
    "disentanglement": "构成：各部分对预期物品得分的影响占比",
    "half-life": "{age}后权重减半",
    "quality": "物品质量",
    "crowd": "大众热度",
    "history": "历史记录",
    "calibrated": "校准列表：在概率与历史类别比例之间取舍，λ = {strength}",
    "calibrated columns": "  现   原  物品",
    "divergence": "列表类别与历史类别的差异：原为{before}，现为{after}（奈特；Steck 2018）。",
    "context": "请求情境",
    "explanation": "解释",
    "seen": "已在历史记录中",
    "rank": "第{rank}名",
    "score": "得分",
    "without": "去掉{title}：冻结权重时得分变化{frozen}（即它的各项之和），重新编码后变化{again}。",
    "sum": "每个物品的各项之和等于其得分（最大误差{error:.0e}）。",
    "wishes": "按您的意愿调整后：{gains}",
    "nothing": "没有任何一项改变",
    "wished columns": "  现   原    得分    原分    变化  物品",
    "promise": "每个得分的变化等于（增益－1）×它自己的各项，与承诺一致（最大误差{error:.0e}）。",
    "forgotten": "忘记：{titles}",
    "empty": "没有可以推荐的物品。",
    "units": ("分钟", "小时", "天"),
}
_WORDS: dict[str, dict[str, object]] = {"en": dict(_ENGLISH), "zh": dict(_CHINESE)}


class Text:
    """Words by name in one language, "en" or "zh"."""

    def __init__(self, language: str) -> None:
        self.words = _WORDS[language]

    def __call__(self, name: str, **values: object) -> str:
        """The words of that name with the values put in."""
        return str(self.words[name]).format(**values)

    def age(self, days: float) -> str:
        """A span of time in minutes, hours or days."""
        units = self.words["units"]
        assert isinstance(units, tuple)
        for length, unit in zip((1 / 1440, 1 / 24, 1), units, strict=True):
            if days < 100 * length or unit == units[-1]:
                return f"{days / length:.3g} {unit}"
        raise AssertionError
