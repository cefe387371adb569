"""Takes questions apart into words, and phrases that mean what one word does."""

from __future__ import annotations

import re
import unicodedata
from operator import itemgetter
from typing import Final

from proxy.semantic.lexicon import BE, CONTENT, DROP, MODAL, STOP, Entry, Lexicon, Trie
from proxy.semantic.reading import Reading, Walk
from proxy.semantic.surface import FOLDED, Surface

MAX_WORDS: Final = 200
MAX_LENGTH: Final = 2048
"""Longer texts are not taken apart: only the same words in the same order are alike."""

MAX_BARE: Final = 4
"""Unknown words that are still taken for a short question in English: names, subjects."""

_TOKEN: Final = re.compile(
    r"[A-Za-z]+(?=[ ,?!]|$)|[,?](?= |$)"  # most of a text, found without trying the others
    r"|```[^`]*```|`[^`\n]{1,200}`"  # code
    r'|"[^"\n]{1,200}"'
    r"|(?<!\w)'[^'\n]{1,80}'(?!\w)"  # quoted
    r"|[^\W\d_]\w{1,20}://\S+|[\w.+-]{1,64}@[\w.-]+|(?<![\w/])[~.]{0,2}/[\w.-]+(?:/[\w.-]+)*"
    r"|[A-Za-z](?:\+\+|\#)(?!\w)"  # C++ and C#
    r"|(?:(?<![\w)])[-+])?(?:(?<!\w)\.)?\d+(?:[.,:/]\d+)*\w*"
    r"|\w+(?:['.]\w+)*"
    r"|(?<=\d)\s?-\s?(?=\d)"
    r"|[^\s\w]"
)
_EASY: Final = re.compile(r"[A-Za-z ,?]*$")
"""Texts that need no more than spaces to be split at."""

_TALLY: Final = itemgetter(5)


class Reader:
    """Takes questions apart; remembers nothing of them."""

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon

    def read(self, text: str, surface: Surface) -> Reading:
        """Takes ``text`` apart."""
        reading = Reading(text, surface)
        folded = text if text.isascii() else unicodedata.normalize("NFC", text).translate(FOLDED)
        if folded.isupper():
            folded = folded.lower()
        if len(folded) > MAX_LENGTH or folded.count(" ") > MAX_WORDS:
            reading.words = folded.casefold().split()
            return reading
        lexicon = self.lexicon
        if _EASY.match(folded):
            tokens = folded.replace(",", " , ").replace("?", " ? ").split()
        else:
            tokens = _TOKEN.findall(folded)
        found = [lexicon[token] for token in tokens]
        entries = [
            part
            for entry in found
            for part in entry.parts or (entry,)
            if part.kind != DROP or part.word.isalpha()
        ]
        total: int = sum(map(_TALLY, entries))
        unknown, foreign, plain = total >> 40, total >> 20 & 0xFFFFF, total & 0xFFFFF
        reading.is_english = plain > 0 and plain * 3 >= unknown and (foreign < 2 or foreign < plain)
        reading.is_bare = foreign == plain == 0 and 0 < unknown <= MAX_BARE and folded.isascii()
        if reading.is_english or reading.is_bare:
            Walk(reading, _spoken(entries), lexicon).go()
        if not reading.is_english:
            reading.words = folded.casefold().strip(" ?.!¿¡").split()
        return reading


def _spoken(entries: list[Entry]) -> list[Entry]:
    """Entries that say something, phrases replaced by what they mean."""
    found: list[Entry] = []
    after = 0
    is_edge = True  # only what is polite so far
    over = len(entries)  # where only what is polite follows
    while over and _says_nothing(entries[over - 1]):
        over -= 1
    while over < len(entries) and entries[over][0] != STOP:
        over += 1
    for i, entry in enumerate(entries):
        if i < after:
            continue
        if entry[3] is not None:
            means, end = _phrase(entry[3], entries, i + 1)
            if means is not None:
                found += means
                after = end
                is_edge = is_edge and not means
                continue
        if entry[0]:
            found.append(entry)
            is_edge = is_edge and entry[0] == STOP
        elif entry[2] == "a" and i and _is_letter(entries, i + 1):
            found.append(Entry(CONTENT, "lettera", "a"))
        elif entry[1] and not (is_edge or i >= over):
            found.append(Entry(CONTENT, entry[2], entry[2]))
    return found


def _is_letter(entries: list[Entry], at: int) -> bool:
    """Whether what stands before this is no article: nothing that it could belong to follows."""
    return at == len(entries) or entries[at][0] in (STOP, BE, MODAL)


def _says_nothing(entry: Entry) -> bool:
    return entry[0] == STOP or (entry[0] == DROP and bool(entry[1]))


def _phrase(node: Trie, flat: list[Entry], at: int) -> tuple[tuple[Entry, ...] | None, int]:
    """What the longest phrase from here means, and where it ends.

    Words that say nothing may stand between its own.
    """
    means, end = node.get(""), at
    nodes = [node]
    for j in range(at, len(flat)):
        entry = flat[j]
        word = entry[2]
        following = [reached[word] for reached in nodes if word in reached]
        for reached in following:
            if "" in reached:
                means, end = reached[""], j + 1
        if not entry[0]:
            following += [n for n in nodes if not any(n is reached for reached in following)]
        if not following:
            break
        nodes = following
    return means, end
