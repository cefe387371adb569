"""Text as a reader would take it, with offsets back to how it was written.

Every character is mapped on its own, so that a view of a text is the views of
its parts put together, wherever it is cut.
"""

from __future__ import annotations

import unicodedata
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


def normalised(text: str) -> str:
    """What a reader sees."""
    return text if text.isascii() else text.translate(_READ)


class View:
    """One reading of a text, as UTF-8.  Offsets of ``data`` are bytes, those of
    the text characters.
    """

    __slots__ = ("_kept", "_table", "_text", "data")

    def __init__(self, text: str, table: dict[int, str | None] | None) -> None:
        self._text = text
        self._table = table
        self._kept: list[int] | None = None
        self.data = (text if table is None else text.translate(table)).encode()

    def offset(self, char: int) -> int:
        """Where in ``data`` the text's character begins."""
        before = self._text[:char]
        return len((before if self._table is None else before.translate(self._table)).encode())

    def char(self, offset: int, *, is_end: bool = False) -> int:
        """The character that begins at ``offset``, or the end of the one before."""
        count = len(self.data[:offset].decode())
        if self._table is None:
            return count
        if self._kept is None:
            table = self._table
            self._kept = [i for i, c in enumerate(self._text) if table.get(ord(c), "") is not None]
        if is_end:
            return self._kept[count - 1] + 1 if count else 0
        return self._kept[count] if count < len(self._kept) else len(self._text)


def views(text: str) -> list[View]:
    """As it stands, and as it reads where that is something else."""
    found = [View(text, None)]
    if text.isascii():
        return found
    plain = found[0].data
    for table in (_READ, _STRIPPED):
        view = View(text, table)
        if view.data not in (plain, found[-1].data):
            found.append(view)
    return found


def context(text: str, end: int) -> int:
    """Where the last visible character of ``text[:end]`` stands."""
    at = end
    while at:
        at -= 1
        if text[at] not in _GONE and not "\U000e0000" <= text[at] <= "\U000e007f":
            break
    return at
