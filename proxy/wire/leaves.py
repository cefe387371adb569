"""Every string of a JSON text, and that text with some strings changed.

Works on the bytes: what is not changed stays as it was written, whatever it
is, and of a key that is given twice both values are seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

import orjson

from proxy.core.errors import UpstreamProtocol

MAX_DEPTH: Final = 200

Path = list[str | int]
"""Keys and positions from the top of a body down to one value."""

Visit = Callable[[Path, str], str | None]
"""The string to put in the place of one; ``None`` or the same leaves it."""

_TOKEN: Final = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)"|([\[\]{},])', re.DOTALL)
_PLAIN_KEY: Final = re.compile(r"(?!.*PII_)[A-Za-z_$][A-Za-z_$.-]*[0-9]{0,4}")
"""Names as protocols have them; a pseudonym of letters alone is none."""


def text_of(literal: bytes) -> str:
    """What stands between the quotes of a JSON string."""
    return orjson.loads(b'"%s"' % literal) if b"\\" in literal else literal.decode()


def literal_of(text: str) -> bytes:
    """What stands between the quotes for ``text``."""
    return orjson.dumps(text)[1:-1]


def rewrite(raw: bytes, visit: Visit, visit_key: Visit | None = None) -> bytes | None:
    """``raw`` with the strings changed that ``visit`` changes; ``None`` if none.

    ``raw`` must be JSON.  ``visit`` must not keep the path it is given.
    ``visit_key`` sees the keys that are not plain names.
    """
    path: Path = []
    objects: list[bool] = []  # for each level, whether it is an object
    is_key = False
    out: list[bytes] = []
    done = 0
    for token in _TOKEN.finditer(raw):
        mark = token[2]
        if mark is None:
            if is_key:
                key = text_of(token[1])
                path[-1] = key
                is_key = False
                if visit_key is None or _PLAIN_KEY.fullmatch(key):
                    continue
                made = visit_key(path, key)
                old = key
            else:
                old = text_of(token[1])
                made = visit(path, old)
            if made is not None and made != old:
                out += (raw[done : token.start(1)], literal_of(made))
                done = token.end(1)
        elif mark == b",":
            if objects[-1]:
                is_key = True
            else:
                path[-1] += 1  # type: ignore[operator]
        elif mark in b"{[":
            is_key = mark == b"{"
            objects.append(is_key)
            path.append("" if is_key else 0)
        else:
            objects.pop()
            path.pop()
            is_key = False
    if not out:
        return None
    out.append(raw[done:])
    return b"".join(out)


def each(value: object, path: Path, visit: Callable[[Path, str], None]) -> None:
    """Every string below ``value``, in the order in which it was written.

    Raises ``UpstreamProtocol`` on an answer that is nested beyond reason.
    """
    if len(path) > MAX_DEPTH:
        raise UpstreamProtocol(f"the upstream's answer is nested over {MAX_DEPTH} levels deep")
    if isinstance(value, str):
        visit(path, value)
        return
    items: Iterable[tuple[str | int, object]]
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return
    path.append("")
    for step, inner in items:
        if inner.__class__ in _WITH_TEXT:
            path[-1] = step
            each(inner, path, visit)
    path.pop()


_WITH_TEXT: Final = frozenset({str, dict, list})


def is_json_text(text: str) -> bool:
    """Whether a string holds a JSON object or array of its own."""
    start = text.lstrip()[:1]
    if start not in ("{", "["):
        return False
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
