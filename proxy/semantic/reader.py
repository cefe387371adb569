"""Takes questions apart into words, and phrases that mean what one word does."""

from __future__ import annotations

import re
import unicodedata
from operator import itemgetter
from typing import Final

from proxy.semantic.lexicon import DROP, MAX_KNOWN, MAX_SPELLING, STOP, Entry, Lexicon, Trie
from proxy.semantic.reading import Reading, Walk

MAX_WORDS: Final = 200
MAX_LENGTH: Final = 2048
MAX_BARE: Final = 4
"""Unknown words that are still taken for a short question in English: names, subjects."""

"""Longer texts are not taken apart: only the same words in the same order are alike."""

_TOKEN: Final = re.compile(
    r"[A-Za-z]+(?=[ ,?!]|$)|[,?](?= |$)"  # most of a text, found without trying the others
    r"|```[^`]*```|`[^`\n]{1,200}`"  # code
    r'|"[^"\n]{1,200}"'
    r"|(?<!\w)'[^'\n]{1,80}'(?!\w)"  # quoted
    r"|[^\W\d_]\w{1,20}://\S+|[\w.+-]{1,64}@[\w.-]+|(?<![\w/])[~.]{0,2}/[\w.-]+(?:/[\w.-]+)*"
    r"|[A-Za-z](?:\+\+|\#)(?!\w)"  # C++ and C#
    r"|(?:(?<![\w)])[-+])?\d+(?:[.,:/]\d+)*\w*"
    r"|\w+(?:['.]\w+)*"
    r"|(?<=\d)\s?-\s?(?=\d)"
    r"|[^\s\w]"
)
_FOLDED: Final = str.maketrans(
    "\u2018\u2019\u201c\u201d\u00ab\u00bb\u2013\u2014\u2212\u2044\u00d7\u00f7",
    '\'\'""""---/*/',
    "\u00ad\u200b\ufeff",
)
"""Quotes, dashes and operators as ASCII has them; what cannot be seen, gone."""

_TALLY: Final = itemgetter(5)


class Reader:
    """Takes questions apart; remembers what each run of characters between spaces says."""

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self._chunks: dict[str, tuple[Entry, ...]] = {}

    def read(self, text: str) -> Reading:
        """Takes ``text`` apart."""
        folded = text if text.isascii() else unicodedata.normalize("NFKC", text).translate(_FOLDED)
        if folded.isupper():
            folded = folded.lower()
        reading = Reading(text)
        chunks = [folded] if _is_spaced(folded) else folded.split()
        if len(chunks) > MAX_WORDS or len(folded) > MAX_LENGTH:
            reading.words = folded.casefold().split()
            return reading
        known = self._chunks
        entries: list[Entry] = []
        for chunk in chunks:
            entries += known.get(chunk) or self._entries(chunk)
        total: int = sum(map(_TALLY, entries))
        unknown, foreign, plain = total >> 40, total >> 20 & 0xFFFFF, total & 0xFFFFF
        reading.is_english = plain > 0 and plain * 3 >= unknown and (foreign < 2 or foreign < plain)
        reading.is_bare = foreign == plain == 0 and 0 < unknown <= MAX_BARE and folded.isascii()
        if reading.is_english or reading.is_bare:
            Walk(reading, _spoken(entries), self.lexicon).go()
        if not reading.is_english:
            reading.words = [t.casefold() for t in _TOKEN.findall(folded) if self._says(t)]
        return reading

    def _entries(self, chunk: str) -> tuple[Entry, ...]:
        """Its words, with contractions taken apart and without punctuation."""
        entries = [self.lexicon[t] for t in _TOKEN.findall(chunk)]
        flat = (part for e in entries for part in e.parts or (e,))
        made = tuple(e for e in flat if e.kind != DROP or e.word.isalpha())
        if len(self._chunks) < MAX_KNOWN and len(chunk) <= MAX_SPELLING:
            self._chunks[chunk] = made
        return made

    def _says(self, token: str) -> bool:
        return token[0].isalnum() or self.lexicon[token].kind not in (DROP, STOP)


def _is_spaced(text: str) -> bool:
    """Whether it has what must be read together, spaces or not: quotes, code, "5 - 3"."""
    return '"' in text or "`" in text or " -" in text or " '" in text or text[:1] == "'"


def _spoken(entries: list[Entry]) -> list[Entry]:
    """Entries that say something, phrases replaced by what they mean."""
    found: list[Entry] = []
    after = 0
    for i, entry in enumerate(entries):
        if i < after:
            continue
        if entry[3] is not None:
            means, end = _phrase(entry[3], entries, i + 1)
            if means is not None:
                found += means
                after = end
                continue
        if entry[0]:
            found.append(entry)
    return found


def _phrase(node: Trie, flat: list[Entry], at: int) -> tuple[tuple[Entry, ...] | None, int]:
    """What the longest phrase from here means, and where it ends.

    Words that say nothing may stand between its own.
    """
    means, end = node.get(""), at
    for j in range(at, len(flat)):
        entry = flat[j]
        following = node.get(entry[2])
        if following is not None:
            node = following
            if "" in node:
                means, end = node[""], j + 1
        elif entry[0]:
            break
    return means, end
