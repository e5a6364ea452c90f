"""What the pictures share: colours, fonts, an axis of dates, and how a figure becomes a file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfrec.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontManager

FORMATS = (".png", ".svg")
FOR, AGAINST, WHOLE, GREY = "#0072b2", "#d55e00", "#40464d", "#868d95"
# Told apart by colour-blind readers: P. Tol, "Colour Schemes", SRON/EPS/TN/09-002, "muted".
# Their hues are also unlike FOR and AGAINST, which mean a sign.
SERIES = ("#332288", "#44aa99", "#ddcc77", "#cc6677", "#88ccee", "#117733", "#aa4499", "#999933")
# From years down to seconds, as ConciseDateFormatter takes them.
_DATES: dict[str, dict[str, list[str]]] = {
    "en": {},
    "zh": {
        "formats": ["%Y年", "%m月", "%d日", "%H:%M", "%H:%M", "%S.%f"],
        "zero_formats": ["", "%Y年", "%m月", "%m月%d日", "%H:%M", "%H:%M"],
        "offset_formats": ["", "%Y年", "%Y年%m月", *["%Y年%m月%d日"] * 2, "%Y年%m月%d日 %H:%M"],
    },
}
_CJK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "PingFang SC",
    "Hiragino Sans GB",
    "SimHei",
    "Arial Unicode MS",
    "Droid Sans Fallback",
)
_CJK_FILES = ("notosanscjk-regular", "sourcehansans", "wqy-", "droidsansfallback")


def check_format(path: Path | str) -> None:
    """Raises UserError when `path` is not of a form that `save` can write."""
    if Path(path).suffix.lower() not in FORMATS:
        raise UserError(f"cannot draw {path}: the name must end in {' or '.join(FORMATS)}")


def save(figure: Figure, path: Path | str) -> None:
    """Writes `figure` as PNG or SVG, by the suffix; UserError when the file cannot be written."""
    svg = Path(path).suffix.lower() == ".svg"
    try:
        # Without a date the same picture is the same file.
        figure.savefig(path, dpi=120, metadata={"Date": None} if svg else None)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


@contextmanager
def style() -> Iterator[None]:
    """Fonts that have Chinese, Japanese and Korean where one is installed; quiet where not."""
    from matplotlib import rc_context

    style: Any = {
        "font.family": ["DejaVu Sans", *_cjk_font()],
        "text.parse_math": False,  # a "$" in a title is a dollar
        "svg.fonttype": "none",
        "svg.hashsalt": "tfrec",
        "axes.unicode_minus": True,
    }
    with rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        yield


@cache
def _cjk_font() -> tuple[str, ...]:
    """The name of one installed font with Chinese characters, or nothing."""
    from matplotlib import font_manager

    # matplotlib's list is made once per machine: a font installed later is not in it.
    manager = font_manager.fontManager
    if not _known(manager):
        for file in font_manager.findSystemFonts():
            if Path(file).name.lower().startswith(_CJK_FILES):
                manager.addfont(file)
    return _known(manager)[:1]


def _known(manager: FontManager) -> tuple[str, ...]:
    names = {font.name for font in manager.ttflist}
    return tuple(name for name in _CJK_FONTS if name in names)


def colour(facet: int) -> Any:
    """The colour of a facet; paler when the colours come round again."""
    again, place = divmod(facet, len(SERIES))
    return (SERIES[place], 0.45 if again else 1.0)


def date_axis(axes: Axes, language: str = "en") -> None:
    """Makes x, in days since 1970, an axis of dates in UTC."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    # With 3 to 7 ticks there is a step for every span; with 5 to 7 there is none for some.
    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, **_DATES[language]))  # type: ignore[no-untyped-call]


def nothing(axes: Axes, why: str) -> None:
    """Says why there is nothing in `axes`."""
    axes.text(0.5, 0.5, why, ha="center", va="center", color=GREY, transform=axes.transAxes)
    axes.set_axis_off()
