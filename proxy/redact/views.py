"""Text as a reader would take it, with offsets back to how it was written.

Every character is mapped on its own, so that a view of a text is the views of
its parts put together, wherever it is cut.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from typing import Final

_INVISIBLE: Final = (
    0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180E, *range(0x200B, 0x2010),
    *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0,
)  # fmt: skip
_COMPATIBLE: Final = (
    (0x00A0, 0x0100), (0x2000, 0x200B), (0x202F, 0x2030), (0x205F, 0x2060), (0x2070, 0x20A0),
    (0x2100, 0x2150), (0x2160, 0x2180), (0x2460, 0x2500), (0x3000, 0x3001), (0xFE10, 0xFE20),
    (0xFE50, 0xFE70), (0xFF01, 0xFFA0), (0x1D400, 0x1D800), (0x1F130, 0x1F150),
)  # fmt: skip
_DIGITS: Final = (
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xE50,
    0xED0, 0xF20, 0x1040, 0x17E0, 0x1810,
)  # fmt: skip
_LOOKALIKES: Final = {
    "АВЕКМНОРСТУХІЈЅԌԚԜаеорсухіјѕԁԛԝһкмтвнӏ": "ABEKMHOPCTYXIJSGQWaeopcyxijsdqwhkmtbhl",
    "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧοναρικ": "ABEZHIKMNOPTYXovapik",
    "‐‑‒–—―−﹣⁃": "---------",
    "․‥。｡·": ".....",
    "∶։׃": ":::",
    "⁄∕": "//",
    "＠﹫": "@@",
    "ＯΟОо": "OOOo",
    "ı": "i",
    "ɡ": "g",
}
_TAGS: Final = {0xE0000 + b: chr(b) for b in range(0x20, 0x7F)}

SEEN: Final = 12
"""Characters to the left that a detector may look at."""


def _normal() -> dict[int, str | None]:
    table: dict[int, str | None] = {}
    for first, last in _COMPATIBLE:
        for code in range(first, last):
            made = unicodedata.normalize("NFKC", chr(code))
            if len(made) == 1 and made.isascii():
                table[code] = made
    for zero in _DIGITS:
        table.update({zero + i: str(i) for i in range(10)})
    for strange, plain in _LOOKALIKES.items():
        table.update(zip(map(ord, strange), plain, strict=True))
    table.update(dict.fromkeys(_INVISIBLE))
    return table


_STRIPPED: Final = {**_normal(), **dict.fromkeys(_TAGS), 0xE0001: None, 0xE007F: None}
_READ: Final = {**_STRIPPED, **_TAGS}
"""The same with tag characters taken for what they stand for."""

_GONE: Final = frozenset(chr(code) for code, made in _STRIPPED.items() if made is None)


_STRANGE: Final = re.compile(r"[^\x00-\x9f]+")


class _Table:
    """A mapping of characters, applied to what is not ASCII only."""

    __slots__ = ("_table",)

    def __init__(self, table: dict[int, str | None]) -> None:
        self._table = table

    def read(self, text: str) -> str:
        """``text`` with every character mapped."""
        table = self._table
        return _STRANGE.sub(lambda match: match[0].translate(table), text)

    def keeps(self, char: str) -> bool:
        """Whether anything is left of a character."""
        return self._table.get(ord(char), char) is not None


_TAGGED: Final = re.compile("[\U000e0000-\U000e007f]")
_TABLES: Final = (_Table(_READ), _Table(_STRIPPED))


def normalised(text: str) -> str:
    """What a reader sees."""
    return text if text.isascii() else _TABLES[0].read(text)


class View:
    """One reading of a text, as UTF-8.  Offsets of ``data`` are bytes, those of
    the text characters.

    Both are asked for in rising order, so the last answer is where counting
    goes on.
    """

    __slots__ = ("_char", "_kept", "_last", "_made", "_offset", "_table", "_text", "data")

    def __init__(self, text: str, made: str, table: _Table | None = None) -> None:
        self._text = text
        self._made = made
        self._table = table
        self._kept: list[int] | None = None
        if len(made) < len(text):
            assert table is not None
            self._kept = [i for i, c in enumerate(text) if table.keeps(c)]
        self.data = made.encode()
        self._offset = self._char = 0  # of ``data`` and ``made``, as counted last

    def _count(self, offset: int) -> int:
        """The number of characters of ``made`` before ``offset``."""
        if offset < self._offset:
            self._offset = self._char = 0
        self._char += len(self.data[self._offset : offset].decode())
        self._offset = offset
        return self._char

    def offset(self, char: int) -> int:
        """Where in ``data`` the text's character begins."""
        if self._kept is not None:
            char = bisect_left(self._kept, char)
        if char < self._char:
            self._offset = self._char = 0
        self._offset += len(self._made[self._char : char].encode())
        self._char = char
        return self._offset

    def char(self, offset: int, *, is_end: bool = False) -> int:
        """The character that begins at ``offset``, or the end of the one before."""
        count = self._count(offset)
        if self._kept is None:
            return count
        if is_end:
            return self._kept[count - 1] + 1 if count else 0
        return self._kept[count] if count < len(self._kept) else len(self._text)


def views(text: str) -> list[View]:
    """As it stands, and as it reads where that is something else."""
    found = [View(text, text)]
    if text.isascii():
        return found
    made = _TABLES[0].read(text)
    if made != text:
        found.append(View(text, made, _TABLES[0]))
        if _TAGGED.search(text):
            found.append(View(text, _TABLES[1].read(text), _TABLES[1]))
    return found


def context(text: str, end: int) -> int:
    """Where the last ``SEEN`` visible characters of ``text[:end]`` begin."""
    at, seen = end, 0
    while at and seen < SEEN:
        at -= 1
        char = text[at]
        if char not in _GONE and not "\U000e0000" <= char <= "\U000e007f":
            seen += 1
    return at
