"""Raw texts -> plain text, the same when training and when serving.

Every step is TensorFlow and TensorFlow Text ops only: `clean` runs them over a catalogue,
`clean_in_graph` puts the same ones into a model that has to read a query as the items were read.
(They are also quicker than pyarrow's string kernels, and ICU, Python and utf8proc each normalise
by another version of Unicode.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tfrec.console import import_tensorflow

# Sent to the ops together: enough to hide their overhead, little enough to keep memory flat.
_CHUNK = 1024

# Markup as browsers see it: "<" and a letter begin a tag, "a < b" does not. What opens and never
# closes goes up to the end, except for tags: most lone "<x" are no markup at all.
_MARKUP = (
    r"(?is)<!--.*?(?:-->|\z)"
    r"|<script\b[^>]*>.*?(?:</script\s*>|\z)"
    r"|<style\b[^>]*>.*?(?:</style\s*>|\z)"
    r"|</?[a-z!?][^>]*>"
)
_ENTITIES = {"lt": "<", "gt": ">", "quot": '"', "apos": "'", "nbsp": " "}
_NUMERIC = r"&#(?:[0-9]{1,7}|[xX][0-9a-fA-F]{1,6});"
_ANY_ENTITY = rf"(?i)&((?:amp|{'|'.join(_ENTITIES)}|#[0-9]{{1,7}}|#x[0-9a-f]{{1,6}});)"
# Decoding may uncover an entity (&#38;lt;). Twice is more than honest texts need.
_ROUNDS = 2

# Soft hyphens, zero-width spaces, byte order and direction marks. Joiners stay: emoji, Persian and
# Indic scripts are written with them.
_INVISIBLE = (
    r"[\x{AD}\x{61C}\x{200B}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2060}\x{2066}-\x{2069}\x{FEFF}]+"
)
# Blank, but no plain space: replacing every space by itself would take most of the time.
_ODD = r"\p{Cc}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}"
_BLANK = rf" *[{_ODD}][{_ODD} ]*|  +"

# Negations are not among them: "not funny" is not "funny".
STOP_WORDS = (
    "a an and are as at be been but by for from had has have he her his i if in into is it its me "
    "my of on or our she so such than that the their them then there these they this those to was "
    "we were what when which who will with you your"
)


class Cleaning(Protocol):
    """What has to be known about a text's cleaning; `TextConfig` is one."""

    @property
    def strip_html(self) -> bool: ...

    @property
    def lower_case(self) -> bool: ...

    @property
    def stop_words(self) -> bool: ...


def clean(texts: Sequence[str | None], options: Cleaning) -> list[str]:
    """Plain text of every text; "" for a missing one. Cleaning twice changes nothing more.

    The steps, in order: characters (`repaired`, `plain_characters`, lower case if asked), HTML
    entities and markup (if asked), stop words (if asked), `single_spaces`. NFKC turns full-width
    Latin letters and punctuation (，：) into the usual ones; Chinese characters stay as they are.

    Example:
        >>> from tfrec.text.options import TextConfig
        >>> clean(["<p>Salt &amp;\\u00a0Pepper</p>", None, "1 < 2"], TextConfig())
        ['Salt & Pepper', '', '1 < 2']
    """
    tf = import_tensorflow()
    cleaned: list[str] = []
    with tf.device("CPU:0"):
        for start in range(0, len(texts), _CHUNK):
            chunk = [(text or "").encode("utf-8", "replace") for text in texts[start:][:_CHUNK]]
            found = clean_in_graph(tf.constant(chunk, tf.string), options).numpy()
            cleaned += [text.decode("utf-8") for text in found.tolist()]
    return cleaned


def clean_in_graph(texts: Any, options: Cleaning) -> Any:
    """`clean` as ops, for a string tensor [N] inside a graph; all its steps are there.

    The ops are those of TensorFlow and TensorFlow Text, which stock TensorFlow Serving links.

    Arguments:
        texts: string [N], UTF-8; broken bytes become U+FFFD.
        options: which steps.

    Returns:
        string [N].
    """

    def characters(texts: Any) -> Any:
        texts = plain_characters(texts)
        return lower_cased(texts) if options.lower_case else texts

    def entities(texts: Any) -> Any:
        for _ in range(_ROUNDS):
            texts = characters(decoded(texts))
        return defused(texts)

    texts = characters(repaired(texts))
    if options.strip_html:
        texts = without_markup(_where_found("&", texts, entities))
    if options.stop_words:
        texts = without_stop_words(texts)
    return single_spaces(texts)


def repaired(texts: Any) -> Any:
    """Valid UTF-8: every broken byte becomes U+FFFD."""
    tf = import_tensorflow()
    return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")


def plain_characters(texts: Any) -> Any:
    """NFKC, without what cannot be seen; a space for every control character."""
    import tensorflow_text  # type: ignore[import-untyped, unused-ignore]

    texts = _replaced(texts, _INVISIBLE, "")
    # Before anything else sees them: a NUL ends a string for tf.strings.lower.
    texts = _replaced(texts, r"\p{Cc}", " ")
    return tensorflow_text.normalize_utf8(texts, "NFKC")


def lower_cased(texts: Any) -> Any:
    """Lower case in every script, in NFKC again (H + U+0331 has no composed form, ẖ has one)."""
    import tensorflow_text  # type: ignore[import-untyped, unused-ignore]

    lower = import_tensorflow().strings.lower(texts, encoding="utf-8")
    return tensorflow_text.normalize_utf8(lower, "NFKC")


def decoded(texts: Any) -> Any:
    """HTML entities as characters: the five of XML, &nbsp;, numbers; also if escaped repeatedly."""
    texts = _replaced(texts, r"(?i)&(?:amp;)+", "&")
    for name, character in _ENTITIES.items():
        texts = _replaced(texts, f"(?i)&{name};", character)
    return _where_found(_NUMERIC, texts, _numbers_decoded)


def defused(texts: Any) -> Any:
    """A space after the & of entities that are left, so that no later cleaning decodes them."""
    return _replaced(texts, _ANY_ENTITY, r"& \1")


def without_markup(texts: Any) -> Any:
    """A space for every tag and comment, and for scripts and style sheets with their contents."""
    return _replaced(texts, _MARKUP, " ")


def without_stop_words(texts: Any) -> Any:
    """Without `STOP_WORDS` that stand between spaces; a text of nothing else stays ("The The")."""
    tf = import_tensorflow()
    # Two spaces between words: each word has its own pair, so that neighbours are both found.
    spaced = tf.strings.join([" ", _replaced(single_spaces(texts), " ", "  "), " "])
    kept = _replaced(spaced, f"(?i) (?:{STOP_WORDS.replace(' ', '|')}) ", " ")
    return tf.where(tf.equal(single_spaces(kept), ""), texts, kept)


def single_spaces(texts: Any) -> Any:
    """Runs of spaces, line breaks and control characters become one space, none at the ends."""
    return import_tensorflow().strings.strip(_replaced(texts, _BLANK, " "))


def _replaced(texts: Any, pattern: str, by: str) -> Any:
    # RE2, linear in the length of a text whatever the text is.
    return import_tensorflow().strings.regex_replace(texts, pattern, by)


def _where_found(pattern: str, texts: Any, change: Callable[[Any], Any]) -> Any:
    """`change` of the texts that have the pattern; the others are not touched."""
    tf = import_tensorflow()
    rows = tf.where(tf.strings.regex_full_match(texts, f"(?s).*{pattern}.*"))  # [M, 1]
    return tf.tensor_scatter_nd_update(texts, rows, change(tf.gather_nd(texts, rows)))


def _numbers_decoded(texts: Any) -> Any:
    """&#233; and &#xe9; -> é, by the rules of HTML (128 to 159 mean Windows-1252)."""
    import tensorflow_text  # type: ignore[import-untyped, unused-ignore]

    tf = import_tensorflow()
    parts = tensorflow_text.regex_split(texts, _NUMERIC, _NUMERIC)  # [N, (parts)]
    decoded = _where_found(_NUMERIC, parts.flat_values, _numbers)
    return tf.strings.reduce_join(parts.with_flat_values(decoded), axis=1)


def _numbers(entities: Any) -> Any:
    """[R] numeric entities -> [R] characters."""
    tf = import_tensorflow()
    hexadecimal = tf.strings.regex_full_match(entities, "&#[xX].*")
    digits = tf.strings.regex_replace(entities, "[^0-9a-fA-F]", "")
    padded = tf.strings.substr(tf.strings.join(["0000000", digits]), -7, 7)
    values = tf.cast(tf.io.decode_raw(padded, tf.uint8, fixed_length=7), tf.int32)  # [R, 7]
    values -= tf.where(values >= 97, 87, tf.where(values >= 65, 55, 48))
    base = tf.where(hexadecimal, 16, 10)[:, None]
    codes = tf.reduce_sum(values * base ** tf.range(6, -1, -1), axis=1)  # [R]
    codes = tf.where(codes < 160, tf.gather(_LOW_CODES, tf.minimum(codes, 159)), codes)
    broken = (codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))
    return tf.strings.unicode_encode(tf.where(broken, 0xFFFD, codes)[:, None], "UTF-8")


def _low_codes() -> list[int]:
    """What &#0; to &#159; stand for."""
    windows = [bytes([code]).decode("cp1252", "ignore") for code in range(128, 160)]
    return [0xFFFD, *range(1, 128), *(ord(c) if c else 0x20 for c in windows)]


_LOW_CODES = _low_codes()
