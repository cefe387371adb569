"""Takes questions apart into words, and phrases that mean what one word does."""

from __future__ import annotations

import re
import unicodedata
from operator import itemgetter
from typing import Final

from proxy.semantic.lexicon import BE, CONTENT, DROP, MODAL, STOP, Lexeme, Lexicon, Trie
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
        lexemes = [
            part
            for lexeme in found
            for part in lexeme.parts or (lexeme,)
            if part.kind != DROP or part.word.isalpha()
        ]
        total: int = sum(map(_TALLY, lexemes))
        unknown, foreign, plain = total >> 40, total >> 20 & 0xFFFFF, total & 0xFFFFF
        reading.is_english = plain > 0 and plain * 3 >= unknown and (foreign < 2 or foreign < plain)
        reading.is_bare = foreign == plain == 0 and 0 < unknown <= MAX_BARE and folded.isascii()
        if reading.is_english or reading.is_bare:
            Walk(reading, _spoken(lexemes), lexicon).go()
        if not reading.is_english:
            reading.words = folded.casefold().strip(" ?.!¿¡").split()
        return reading


def _spoken(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Lexemes that say something, phrases replaced by what they mean."""
    found: list[Lexeme] = []
    after = 0
    is_edge = True  # only what is polite so far
    over = len(lexemes)  # where only what is polite follows
    while over and _says_nothing(lexemes[over - 1]):
        over -= 1
    while over < len(lexemes) and lexemes[over][0] != STOP:
        over += 1
    for i, lexeme in enumerate(lexemes):
        if i < after:
            continue
        if lexeme[3] is not None:
            means, end = _phrase(lexeme[3], lexemes, i + 1)
            if means is not None:
                found += means
                after = end
                is_edge = is_edge and not means
                continue
        if lexeme[0]:
            found.append(lexeme)
            is_edge = is_edge and lexeme[0] == STOP
        elif lexeme[2] == "a" and i and _is_letter(lexemes, i + 1):
            found.append(Lexeme(CONTENT, "lettera", "a"))
        elif lexeme[1] and not (is_edge or i >= over):
            found.append(Lexeme(CONTENT, lexeme[2], lexeme[2]))
    return found


def _is_letter(lexemes: list[Lexeme], at: int) -> bool:
    """Whether what stands before this is no article: nothing that it could belong to follows."""
    return at == len(lexemes) or lexemes[at][0] in (STOP, BE, MODAL)


def _says_nothing(lexeme: Lexeme) -> bool:
    return lexeme[0] == STOP or (lexeme[0] == DROP and bool(lexeme[1]))


def _phrase(node: Trie, flat: list[Lexeme], at: int) -> tuple[tuple[Lexeme, ...] | None, int]:
    """What the longest phrase from here means, and where it ends.

    Words that say nothing may stand between its own.
    """
    means, end = node.get(""), at
    nodes = [node]
    for j in range(at, len(flat)):
        lexeme = flat[j]
        word = lexeme[2]
        following = [reached[word] for reached in nodes if word in reached]
        for reached in following:
            if "" in reached:
                means, end = reached[""], j + 1
        if not lexeme[0]:
            following += [n for n in nodes if not any(n is reached for reached in following)]
        if not following:
            break
        nodes = following
    return means, end
