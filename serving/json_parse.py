"""JSON requests: text -> a document, by the rules and in the words of TensorFlow Serving."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

import numpy as np

from serving.json_write import decimals
from serving.status import ServingError, invalid

_SPACE = re.compile(r"[ \t\n\r]*")
# A number with an exponent of three digits. It begins with the letter, which is rarer than a digit.
_EXPONENT = re.compile(r"[eE](?<=[0-9][eE])\+?[0-9]{3}")
# Any 308 digits in a row, the fewest that can be too large for a double, fill one such piece.
_DIGITS = 154
# A string, ended or not: what is in it says nothing. No way back, so that time stays linear.
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
_STRING_OR_NUMBER = re.compile(rf"{_STRING}|(-?[0-9][0-9.eE+-]*)", re.DOTALL)
# Words for numbers that Python does not know: Inf, -Inf and -NaN.
_STRING_OR_WORD = re.compile(rf"{_STRING}|-?Inf(?:inity)?|-NaN", re.DOTALL)
# What is left of 5. and 1e+ where Python has stopped to read a number.
_HALF_NUMBER = re.compile(r"(?<=[0-9])(?:(\.)|[eE][+-]?)")
# The beginning of a word or of a negative number, as far as it goes.
_BEGUN = re.compile(r"t(?:ru?)?|f(?:a(?:ls?)?)?|n(?:ul?)?|-?(?:Na?|In?)?")
# An escape, and whether it is the first half of a surrogate pair without its second.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2}|())|.)", re.DOTALL
)
_SURROGATE = re.compile(r"\\u[dD][89abAB]")
_TOO_BIG = "Number too big to be stored in double."
_WORDS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
    "Invalid control character at": "Invalid encoding in string.",
}


def parse(body: bytes) -> dict[str, Any]:
    """The document of a request: a JSON object.

    NaN, Inf, Infinity and their negatives are numbers; text after the object is ignored; of two
    equal keys the first one counts. Bytes that are not UTF-8 survive, as surrogates, into strings.

    Raises:
        ServingError: INVALID_ARGUMENT: no JSON, no object, or nested beyond what can be read.

    Example:
        >>> parse(b'{"instances": [1, NaN]} and more')
        {'instances': [1, nan]}
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    text = body.decode("utf-8", "surrogateescape")
    start = _SPACE.match(text, 1 if text.startswith("\ufeff") else 0)
    at = start.end() if start else 0
    if at == len(text):
        raise _error("The document is empty.", text, at)
    document = _decode(text, at)
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {to_text(document)} Is not object")
    return document


def _decode(text: str, at: int) -> Any:
    decoder = _checking if _may_be_too_large(text) else _plain
    half_pair = _half_pair(text)
    try:
        document, end = decoder.raw_decode(text, at)
        if half_pair < end:
            raise _error("The surrogate pair in string is invalid.", text, half_pair)
        return document
    except json.JSONDecodeError as error:
        if half_pair < error.pos:
            raise _error("The surrogate pair in string is invalid.", text, half_pair) from None
        if text.startswith(("Inf", "-Inf", "-NaN"), error.pos):
            spelt = _STRING_OR_WORD.sub(_spelt_out, text)
            if spelt != text:
                return _decode(spelt, at)
        half = _HALF_NUMBER.match(text, error.pos)
        if half:
            part = "fraction part" if half[1] else "exponent"
            raise _error(f"Miss {part} in number.", text, half.end()) from None
        raise _error(_words(error, text), text, _place(error, text)) from None
    except RecursionError:
        raise invalid("JSON Parse error: nested too deeply") from None
    except (ValueError, OverflowError):
        raise _error(_TOO_BIG, text, _place_of_too_big(text, at)) from None


def signature_name(document: dict[str, Any]) -> str:
    """The signature that a document asks for, or "".

    Raises:
        ServingError: it is not a string.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {to_text(document)} not formatted correctly. 'signature_name' key must "
            "be a string value."
        )
    return name


def to_text(value: object) -> str:
    """A value as error messages show it, indented as TensorFlow Serving does."""
    if type(value) is int and not -(2**63) <= value < 2**64:
        value = float(value)  # no integer type of JSON's holds it
    if isinstance(value, float):
        single = abs(value) <= 3.4028234663852886e38
        return decimals(np.array([value], np.float32 if single else np.float64))[0]
    try:
        return json.dumps(value, indent=4, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply to show)"


def type_of(value: object) -> str:
    """The kind of a JSON value as error messages name it."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, dict | list):
        return "Object" if isinstance(value, dict) else "Array"
    return "String" if isinstance(value, str) else "Number"


def is_base64(value: object) -> bool:
    """Whether this is {"b64": "..."}, which stands for bytes."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def to_bytes(value: object) -> bytes:
    """The bytes of {"b64": "..."}.

    Raises:
        ServingError: it is another object, or not base64.

    Example:
        >>> to_bytes({"b64": "aGk"})
        b'hi'
    """
    if not isinstance(value, dict) or not is_base64(value):
        raise invalid(f"JSON Value: {to_text(value)} not formatted correctly for base64 data")
    text = "".join(value["b64"].split()).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def encode(text: str) -> bytes:
    """The bytes that a string of the document stood for in the request.

    Raises:
        ServingError: half of a surrogate pair, which no text holds.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None


def _may_be_too_large(text: str) -> bool:
    """Whether a number in a text may be too large for a double."""
    if _EXPONENT.search(text):
        return True
    return any(text[at : at + _DIGITS].isdigit() for at in range(0, len(text), _DIGITS))


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else dict(reversed(pairs))


def _float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise OverflowError
    return number


def _int(text: str) -> int:
    _float(text)
    return int(text)


def _spelt_out(found: re.Match[str]) -> str:
    word = found[0]
    if word.startswith('"'):
        return word
    return "NaN" if "N" in word else "-Infinity" if word.startswith("-") else "Infinity"


def _place_of_too_big(text: str, at: int) -> int:
    for found in _STRING_OR_NUMBER.finditer(text, at):
        try:
            if found[1]:
                _float(found[1])
        except OverflowError:
            return found.start()
        except ValueError:
            break
    return at


def _place(error: json.JSONDecodeError, text: str) -> int:
    """Where TensorFlow Serving stops: behind what looked like the beginning of a value."""
    if error.msg.startswith("Unterminated string"):
        return len(text)
    if error.msg != "Expecting value":
        return error.pos
    begun = _BEGUN.match(text, error.pos)
    return begun.end() if begun else error.pos


_plain = json.JSONDecoder(object_pairs_hook=_first_of_each)
_checking = json.JSONDecoder(object_pairs_hook=_first_of_each, parse_float=_float, parse_int=_int)


def _words(error: json.JSONDecodeError, text: str) -> str:
    if error.msg == "Expecting ',' delimiter":
        # Whether an array or an object is open: the side whose bracket came last, roughly.
        before = text[: error.pos]
        inside_array = before.count("[") > before.count("]")
        if inside_array and before.rfind("[") > before.rfind("{"):
            return "Missing a comma or ] after an array element."
        return "Missing a comma or } after an object member."
    return next((ours for theirs, ours in _WORDS.items() if error.msg.startswith(theirs)), "")


def _half_pair(text: str) -> int:
    """Where the first half of a surrogate pair stands alone; behind the text if nowhere."""
    if _SURROGATE.search(text):
        for found in _ESCAPE.finditer(text):
            if found[1] is not None:
                return found.start()
    return len(text)


def _error(words: str, text: str, at: int) -> ServingError:
    offset = len(text[:at].encode("utf-8", "surrogateescape"))  # in bytes, as they came
    return invalid(f"JSON Parse error: {words or 'Invalid value.'} at offset: {offset}")
