"""A multipart body whose text is changed and whose files are not."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from proxy.core.errors import InvalidBody


def rewrite_form(
    body: bytes,
    boundary: bytes,
    text: Callable[[str], str],
    json: Callable[[bytes], bytes | None],
) -> bytes | None:
    """``body`` with its text parts changed by ``text``, those that are JSON by
    ``json``; ``None`` if nothing changed.  Raises ``InvalidBody``.

    A part is text if it is UTF-8 without a zero byte, whatever it calls itself.
    """
    mark = b"--" + boundary
    pieces = (b"\r\n" + body).split(b"\r\n" + mark)
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise InvalidBody("the multipart body cannot be read to its end")
    changed = False
    for i, piece in enumerate(pieces[1:-1], 1):
        head, blank, value = piece.partition(b"\r\n\r\n")
        if not blank:
            raise InvalidBody("a part of the multipart body has no end of its head")
        made = _part(value, text, json)
        if made is not None and made != value:
            pieces[i] = head + blank + made
            changed = True
    return (b"\r\n" + mark).join(pieces)[2:] if changed else None


def _part(
    value: bytes, text: Callable[[str], str], json: Callable[[bytes], bytes | None]
) -> bytes | None:
    if b"\0" in value[:4096]:
        return None
    try:
        plain = value.decode()
    except UnicodeDecodeError:
        return None
    if value.lstrip()[:1] not in (b"{", b"["):
        return text(plain).encode()
    return b"\n".join(_line(line, text, json) for line in value.split(b"\n"))


def _line(line: bytes, text: Callable[[str], str], json: Callable[[bytes], bytes | None]) -> bytes:
    """A line of JSON, or of text."""
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return text(line.decode()).encode()
    made = json(line)
    return line if made is None else made
