"""Text inside text: base64, percent signs, escapes.

What is found inside is redacted with all of the code around it, because half
a code cannot be put back.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_to_bytes

from proxy.redact.detector import Detector

_ESCAPE: Final = re.compile(
    rb"\\u([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})|&#x([0-9A-Fa-f]{1,6});|&#(\d{1,7});"
)
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
MIN_BASE64: Final = 8


def from_base64(text: bytes) -> str | None:
    """What base64 of either alphabet says, if that is text."""
    code = text.rstrip(b"=")
    if len(code) < MIN_BASE64 or len(code) % 4 == 1:
        return None
    try:
        made = base64.b64decode(code.translate(_STANDARD) + b"=" * (-len(code) % 4), validate=True)
    except binascii.Error:
        return None
    return _text(made)


def from_percent(text: bytes) -> str | None:
    """What percent signs stand for."""
    return _text(unquote_to_bytes(text))


def from_escapes(text: bytes) -> str | None:
    """What escapes of JavaScript, C and HTML stand for."""

    def char(match: re.Match[bytes]) -> bytes:
        hexadecimal = match[1] or match[2] or match[3]
        code = int(hexadecimal, 16) if hexadecimal else int(match[4])
        return chr(code).encode("utf-8", "replace") if code < 0x110000 else b"?"

    return _text(_ESCAPE.sub(char, text))


def _text(data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return (
        text
        if text.replace("\n", " ").replace("\t", " ").replace("\r", " ").isprintable()
        else None
    )


_UNIT: Final = r"(?:\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|&#x?[0-9A-Fa-f]{1,7};)"
_HEX2: Final = "%[0-9A-Fa-f]{2}"


def _sextets(is_good: Callable[[int], bool]) -> str:
    both = _ALPHABET + "-_"
    return (
        "["
        + "".join(re.escape(c) for i, c in enumerate(both) if is_good(i if i < 64 else i - 2))
        + "]"
    )


_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_GROUP: Final = "".join((
    _sextets(lambda v: v < 32), _sextets(lambda v: not v & 8), _sextets(lambda v: not v & 2),
    "[A-Za-z0-9+/_-]",
))  # fmt: skip
"""Three bytes of ASCII in base64: of each the highest bit is 0, which one name
in a thousand has throughout."""

_IN_PERCENT: Final = re.compile(rb"(?:%[0-9A-Fa-f]{2}|[A-Za-z0-9._~+-])\Z")
_IN_ESCAPES: Final = re.compile(
    rb"(?:\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|&#x?[0-9A-Fa-f]{1,7};|[A-Za-z0-9.@_~+-])\Z"
)

DETECTORS: Final = (
    Detector(
        kind="", form="base64", rank=2, longest=4096, decode=from_base64,
        pattern=rf"\b(?:{_GROUP}){{2,}}[A-Za-z0-9+/_-]{{0,3}}={{0,2}}",
    ),
    Detector(
        kind="", form="percent", rank=2, longest=4096, decode=from_percent, unless=_IN_PERCENT,
        pattern=rf"(?:\b[A-Za-z0-9._~+-]{{1,64}})?(?:{_HEX2})(?:[A-Za-z0-9._~+-]|{_HEX2})*",
    ),
    Detector(
        kind="", form="escapes", rank=2, longest=4096, decode=from_escapes, unless=_IN_ESCAPES,
        pattern=rf"(?:\b[A-Za-z0-9._~+-]{{1,64}})?{_UNIT}(?:[A-Za-z0-9.@_~+-]|{_UNIT})*",
    ),
)  # fmt: skip
