"""Multipart forms: their small text fields, and what stands in them.

What is read here decides, and what is streamed on is read by somebody else:
a field that two readers could take for two values is refused or not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from proxy.core.errors import BadRequest

MAX_FIELD: Final = 1000
"""Bytes of a form field that is read."""
MAX_PARTS: Final = 200
"""Parts that are looked at; what stands behind them is not read."""
ONCE: Final = frozenset({"model", "stream", "user", "n"})
_DISPOSITION: Final = re.compile(
    rb'content-disposition:[^\r\n]*?;[ \t]*name="?([A-Za-z0-9_\[\]]{1,64})"?[^\r\n]*', re.IGNORECASE
)


def form_boundary(content_type: str) -> bytes | None:
    """The boundary that a multipart content-type names."""
    kind, _, rest = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        return None
    for part in rest.split(";"):
        name, _, value = part.strip().partition("=")
        if name.lower() == "boundary" and 0 < len(value.strip('"')) <= 70:
            return value.strip('"').encode("latin-1", "replace")
    return None


def form_fields(beginning: bytes | bytearray, boundary: bytes) -> dict[str, str]:
    """The small text fields in the beginning of a multipart body.

    Only parts that are whole are read, and none that carries a file name.
    """
    fields: dict[str, str] = {}
    for part in beginning.split(b"--" + boundary, MAX_PARTS)[1:-1]:
        head, blank, value = part.partition(b"\r\n\r\n")
        named = _DISPOSITION.search(head[:MAX_FIELD])
        if not blank or named is None or len(value) > MAX_FIELD:
            continue
        if b"filename" in named[0].lower():
            continue
        name = named[1].decode()
        if name in fields and name in ONCE:
            raise BadRequest(f"{name} is given twice", param=name)
        fields[name] = value.removesuffix(b"\r\n").decode("utf-8", "replace")
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
