"""Multipart forms: their small text fields, and what stands in them.

What is read here decides, and what is streamed on is read by somebody else:
a field that two readers could take for two values is refused or not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_to_bytes

from proxy.core.errors import BadRequest

MAX_FIELD: Final = 1000
"""Bytes of a form field that is read."""
MAX_PARTS: Final = 200
"""Parts that are looked at; what stands behind them is not read."""
MAX_HEAD: Final = 8192
"""Bytes of a part's head that are looked at as a form streams by."""
ONCE: Final = frozenset({"model", "stream", "user", "n"})
_DISPOSITION: Final = re.compile(
    rb'content-disposition:[^\r\n]*?;[ \t]*name="?([A-Za-z0-9_\[\]]{1,64})"?(?=[ \t]*(?:[;\r]|$))'
    rb"[^\r\n]*",
    re.IGNORECASE,
)

_ANY_NAME: Final = re.compile(rb'(?<![a-z])name[*0-9]*[ \t]*=[ \t]*"?([^";\r\n]*)', re.IGNORECASE)
"""What some reader may take for a part's name, with escapes and in whatever line."""
_BOUNDARY: Final = re.compile(r"""boundary=(?:"([^"\\]{1,70})"|([^"\\\s]{1,70}))""", re.IGNORECASE)
_TORN: Final = re.compile(rb"(?<![a-z])name\*[0-9]+\*?[ \t]*=", re.IGNORECASE)
"""A name in several pieces."""
_LINE: Final = re.compile(rb"[ \t\v\f]*(?:\r?\n|\r)")
_BARE: Final = re.compile(rb"(?<!\r)\n|\r(?=[^\n])")


def form_boundary(content_type: str) -> bytes | None:
    """The boundary that a multipart content-type names; ``None`` if two readers could
    take two.
    """
    kind, _, rest = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        return None
    given = [part.strip() for part in rest.split(";")]
    named = [part for part in given if part[:8].lower() == "boundary"]
    found = _BOUNDARY.fullmatch(named[0]) if len(named) == 1 else None
    return (found[1] or found[2]).encode("latin-1", "replace") if found is not None else None


def form_fields(beginning: bytes | bytearray, boundary: bytes) -> dict[str, str]:
    """The small text fields in the beginning of a multipart body.

    Only parts that are whole are read, and none that carries a file name.
    """
    fields: dict[str, str] = {}
    mark = b"--" + boundary
    first, *parts = bytes(beginning).split(b"\r\n" + mark, MAX_PARTS)
    if first.startswith(mark):
        parts.insert(0, first[len(mark) :])
    for part in parts[:-1]:
        head, blank, value = part.partition(b"\r\n\r\n")
        named = _DISPOSITION.search(head[:MAX_FIELD])
        if not blank or named is None or len(value) > MAX_FIELD or not _LINE.match(part):
            continue
        if b"filename" in named[0].lower():
            continue
        name = named[1].decode()
        if name in fields and name in ONCE:
            raise BadRequest(f"{name} is given twice", param=name)
        fields[name] = value.decode("utf-8", "replace")
    return fields


def is_enough_of(boundary: bytes, name: str) -> Callable[[bytes | bytearray], bool]:
    """Whether a beginning has the field ``name``.

    It is looked for anew whenever the beginning has doubled, so that a body
    that comes in drops costs no more than one that comes at once.
    """
    at = 0

    def is_enough(beginning: bytes | bytearray) -> bool:
        nonlocal at
        if len(beginning) < at:
            return False
        at = 2 * len(beginning)
        return name in form_fields(beginning, boundary)

    return is_enough


def with_form_field(beginning: bytes, boundary: bytes, name: str, value: str) -> bytes:
    """The same beginning with another value in one of its text fields."""
    pattern = (
        rb"(--" + re.escape(boundary) + rb'\r\n(?:(?!\r\n\r\n)[\s\S]){0,500}?name="?'
        + re.escape(name.encode()) + rb'"?(?:\r\n(?:(?!\r\n\r\n)[\s\S])*)?\r\n\r\n)'
        + rb"[^\r\n]{0,1000}(?=\r\n--)"
    )  # fmt: skip
    return re.sub(pattern, lambda m: m[1] + value.encode(), beginning, count=1)


class Once:
    """Sees to it, as a form streams by, that fields which decide stand in it once, and
    written so that nobody reads them otherwise.
    """

    def __init__(self, boundary: bytes) -> None:
        self._mark = b"--" + boundary
        self._held = b"\n"  # one byte before what may be a mark
        self._seen: set[str] = set()
        self._is_begun = False

    def see(self, data: bytes) -> None:
        """The next piece, before it goes on.  Raises ``BadRequest``."""
        data = self._held + data
        at, size = 1, len(self._mark)
        while (start := data.find(self._mark, at)) > 0:
            at = start + size
            most = at + MAX_HEAD
            if self._is_begun and data[start - 1] not in b"\r\n":
                continue  # what stands before the first part some cut anywhere
            if _LINE.match(data, at) is None:
                if len(data) < most and not data[at:].strip(b" \t\v\f"):
                    break
                continue  # the last boundary, or none
            end = data.find(b"\r\n\r\n", at, most)
            head = data[at : end if end >= 0 else most]
            if _BARE.search(head) is not None:
                raise BadRequest("the form's lines do not end with CR and LF")
            # Some would read on where others begin the next part.
            if b"\n" + self._mark in head or (end < 0 and len(data) >= most):
                raise BadRequest("the head of a part of the form has no end")
            if end < 0:
                break
            self._part(head)
            self._is_begun = True
        else:
            start = max(at, len(data) - size + 1)
        self._held = data[start - 1 :]

    def _part(self, head: bytes) -> None:
        if _TORN.search(head) is not None:
            raise BadRequest("the name of a part of the form is not written plainly")
        for found in _ANY_NAME.finditer(head):
            raw = unquote_to_bytes(found[1].replace(b"\\", b"")).decode("latin-1").lower()
            # As it stands, or behind a character set and a language.
            named = ONCE.intersection((raw.strip(" \t'"), raw.rpartition("'")[2].strip()))
            if not named:
                continue
            (name,) = named
            plain = _DISPOSITION.search(head)
            if plain is None or plain[1] != name.encode() or b"filename" in plain[0].lower():
                raise BadRequest(f"{name} is not written plainly", param=name)
            if name in self._seen:
                raise BadRequest(f"{name} is given twice", param=name)
            self._seen.add(name)


def once_of(content_type: str) -> Once | None:
    """What looks at a body of that type, if it is a form."""
    boundary = form_boundary(content_type)
    return Once(boundary) if boundary is not None else None
