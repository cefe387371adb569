"""Pseudonyms back into originals, in text that comes in pieces."""

from __future__ import annotations

from typing import Final

import orjson

from proxy.redact.pseudonyms import MARK, Pseudonyms

_LONGEST: Final = len(MARK) + 24 + 1 + 8


def in_json(original: str) -> str:
    """As it stands between the quotes of a JSON string."""
    return orjson.dumps(original)[1:-1].decode()


def restored(pseudonyms: Pseudonyms, text: str, *, is_json: bool) -> str:
    """All of ``text`` with originals; ``is_json`` escapes them for JSON."""
    at = text.find(MARK)
    if at < 0:
        return text
    parts: list[str] = []
    start = 0
    while at >= 0:
        name = pseudonyms.known_at(text, at)
        if name is None:
            at = text.find(MARK, at + 1)
            continue
        original = pseudonyms.originals[name]
        parts += (text[start:at], in_json(original) if is_json else original)
        start = at + len(name)
        at = text.find(MARK, start)
    parts.append(text[start:])
    return "".join(parts)


class Restorer:
    """Restores one run of text that comes in pieces.

    Holds back a true beginning of a pseudonym of this exchange and nothing
    else.
    """

    __slots__ = ("_held", "_is_json", "_pseudonyms")

    def __init__(self, pseudonyms: Pseudonyms, *, is_json: bool) -> None:
        self._pseudonyms = pseudonyms
        self._is_json = is_json
        self._held = ""

    def feed(self, text: str) -> str:
        """What may go on now."""
        if not self._held and "P" not in text:
            return text
        text = self._held + text
        keep = self._open(text)
        self._held = text[keep:]
        return restored(self._pseudonyms, text[:keep], is_json=self._is_json)

    def _open(self, text: str) -> int:
        """Where a beginning stands at the end of ``text``; its length if nowhere."""
        at = text.find("P", max(0, len(text) - _LONGEST))
        while at >= 0:
            if self._pseudonyms.may_begin(text[at:]):
                return at
            at = text.find("P", at + 1)
        return len(text)

    def flush(self) -> str:
        """What was held, which has not become a pseudonym."""
        held, self._held = self._held, ""
        return held

    @property
    def held(self) -> str:
        """What is held back."""
        return self._held
