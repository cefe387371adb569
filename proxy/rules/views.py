"""The forms in which a text is searched: as it is, made plain, and decoded.

Who hides words from a pattern writes them so that a model still reads them:
with invisible characters between the letters, in letters that look alike, or
encoded.  Each way is undone character by character or group by group, so that
a longer text never has a shorter one's view undone: what is found in the
beginning of a text is found in all of it.
"""

from __future__ import annotations

import binascii
import codecs
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

import re2

MAX_LAYERS: Final = 3
"""Times that a text is decoded: encoded twice is a game, more is noise."""

MAX_KNOWN: Final = 20_000
"""Characters whose plain form is remembered."""

_ALIKE: Final = dict(
    zip(
        "аеорсухіјѕԁԛԝһӏєіѵүкмнвтАВЕКМНОРСТХІЈЅҮԌԜαβεηικνορτυχγωΑΒΕΖΗΙΚΜΝΟΡΤΥΧıɡɑəɩʏʀɴᴀᴄᴅᴇᴍᴏᴘᴛᴜᴠᴡᴢ",
        "aeopcyxijsdqwhleivykmhbtABEKMHOPCTXIJSYGWaBenikvoptuxywABEZHIKMNOPTYXigaeiyrnacdemoptuvwz",
        strict=True,
    )
)
"""Letters of other scripts that are read as Latin ones."""

MIN_MOVED: Final = 24
"""Characters of a run that is tried at every beginning."""

_UNREADABLE: Final = bytes({*range(256)} - {*range(32, 127), 9, 10, 13})
_RUN: Final = r"[a-z0-9+/_-]*[A-Z][A-Za-z0-9+/_-]{12,}"
"""What may be base64.  No sentence is encoded without a capital near the
beginning, and most words and names have none there."""

_LINES: Final = r"(?:\r?\n[A-Za-z0-9+/_-]{16,})*(?:\r?\n[A-Za-z0-9+/_-]+)?"
_BASE64: Final = re2.compile((_RUN + _LINES).encode())
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_PERCENT: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([nrtbf\"'/\\]))")
_ENTITY: Final = re.compile(r"&(?:#(\d{2,6})|#[xX]([0-9A-Fa-f]{2,5})|(lt|gt|amp|quot|nbsp));")
_SIMPLE: Final = {"n": "\n", "r": "\r", "t": "\t", "b": " ", "f": " "}
_NAMED: Final = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "nbsp": " "}
_SPACED: Final = re.compile(r"(?<![A-Za-z])[A-Za-z](?:[ .\-_*|]{1,3}[A-Za-z]){5,}(?![A-Za-z])")
_APART: Final = r"[A-Za-z](?:[ .\-_*|]{1,3}[A-Za-z]){5}"
_SPACED_SOMEWHERE: Final = re2.compile(_APART.encode())
_DISGUISED: Final = re2.compile(
    (
        f"{_RUN}|{_APART}|" + r"%[0-9A-Fa-f]{2}|\\[uxnrtbf\"'/\\]"
        r"|&(?:#|lt;|gt;|amp;|quot;|nbsp;)"
    ).encode()
)
"""What stands in every text that has another form: most have none, which this
says in a fiftieth of the time that looking for each of them takes."""

_GAP: Final = re.compile(r"(?<=[A-Za-z])([ .\-_*|]{1,3})(?=[A-Za-z])")


class _Plain(dict[int, str]):
    """What each character is read as; filled as they are met."""

    def __missing__(self, code: int) -> str:
        made = _plain(chr(code))
        if len(self) < MAX_KNOWN:
            self[code] = made
        return made


def _plain(char: str) -> str:
    code = ord(char)
    if 0x3400 <= code <= 0x9FFF or 0xAC00 <= code <= 0xD7A3:
        return char  # Chinese and Korean have no letters to be taken for others
    if 0xE0020 <= code <= 0xE007E:
        return chr(code - 0xE0000)  # tag characters: ASCII that is not shown
    if unicodedata.category(char) in ("Cf", "Mn", "Me") or 0xFE00 <= code <= 0xFE0F:
        return ""
    if unicodedata.category(char) == "Zs":
        return " "
    out = ""
    for part in unicodedata.normalize("NFKC", char):
        base = unicodedata.normalize("NFD", part)[0]
        out += _ALIKE.get(part) or (base if base.isascii() else part)
    return out


_PLAIN: Final = _Plain()


def plain(text: str) -> str:
    """The text in the letters it is read as; the same object if it is plain."""
    return text if text.isascii() else text.translate(_PLAIN)


def views(text: str) -> Iterable[str]:
    """The text and every other form of it that says something else."""
    if text.isascii() and _DISGUISED.search(text.encode()) is None:
        return (text,)
    return _views(text)


def _views(text: str) -> Iterator[str]:
    yield text
    seen = plain(text)
    if seen is not text:
        yield seen
    layer = [seen]
    for _ in range(MAX_LAYERS):
        layer = [made for form in layer for made in _undone(form)]
        yield from layer


def _undone(text: str) -> Iterator[str]:
    """The text with one layer of each disguise taken off, where it wears it."""
    data = text.encode("utf-8", "replace")
    if _DISGUISED.search(data) is None:
        return
    if _SPACED_SOMEWHERE.search(data) is not None:
        closed = _SPACED.sub(_closed, text)
        if closed != text:
            yield closed
    if said := _from_base64(data):
        yield said
    decoded = plain(_unescaped(text))
    if decoded != text:
        yield decoded


def _closed(match: re.Match[str]) -> str:
    """``i g n o r e  a l l`` as words: the narrowest gaps are between letters."""
    narrow = min(map(len, _GAP.findall(match[0])))
    return _GAP.sub(lambda gap: "" if len(gap[1]) == narrow else " ", match[0])


def _unescaped(text: str) -> str:
    if "%" in text:
        text = _PERCENT.sub(_from_percent, text)
    if "\\" in text:
        text = _ESCAPE.sub(_from_escape, text)
    if "&" in text:
        text = _ENTITY.sub(_from_entity, text)
    return text


def _from_percent(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("%", "")).decode("utf-8", "replace")


def _from_escape(match: re.Match[str]) -> str:
    digits = match[1] or match[2]
    if digits:
        return chr(int(digits, 16))
    return _SIMPLE.get(match[3], match[3])


def _from_entity(match: re.Match[str]) -> str:
    if match[3]:
        return _NAMED[match[3]]
    code = int(match[1]) if match[1] else int(match[2], 16)
    return chr(code) if code < 0x110000 else ""


def _text_of(data: bytes) -> str:
    """Bytes as text; nothing if they are a picture, or read from the wrong
    character on, which both are bytes of every kind.
    """
    try:
        return codecs.utf_8_decode(data, "strict", False)[0]  # noqa: FBT003 - the end may be cut
    except UnicodeDecodeError:
        kept = data.translate(None, _UNREADABLE)
        return kept.decode() if len(kept) * 10 >= len(data) * 7 else ""


def _from_base64(data: bytes) -> str:
    """What the runs of base64 in ``data`` say, a line each.

    Whatever stands before a run may have moved its groups of four, so a run
    that is long enough is read from each of its first four characters.  A line
    is ended, and the first begun, unless the text itself ends with its run.
    """
    said = []
    for match in _BASE64.finditer(data):
        run = match[0].translate(_URL_SAFE, b"\r\n")
        end = "" if match.end() == len(data) else "\n"
        for start in range(4 if len(run) >= MIN_MOVED else 1):
            groups = run[start:]
            part = len(groups) % 4
            groups = groups[:-1] if part == 1 else groups + b"=" * (-part % 4)
            if found := _text_of(binascii.a2b_base64(groups)):
                said.append(f"\n{found}{end}")
    return plain("".join(said))
