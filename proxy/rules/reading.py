"""A question taken apart: what it is about, what it asks, and who does what to whom."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

from proxy.rules.lexicon import (
    AND, ASK, BE, CONTENT, DROP, FOREIGN, MARK, MODAL, NOT, NUMBER, PERSON, ROLE, SEVERAL, STOP,
    SYMBOL, Entry, Lexicon, Trie,
)  # fmt: skip

MAX_WORDS: Final = 200
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
    {"’": "'", "‘": "'", "`": "`", "“": '"', "”": '"', "«": '"', "»": '"', "–": "-", "—": "-",
     "−": "-", "⁄": "/", "×": "*", "÷": "/", "\u00ad": None, "\u200b": None, "\ufeff": None}
)  # fmt: skip
_TALLY: Final = itemgetter(5)
_THINGS: Final = (CONTENT, MARK, FOREIGN)
_CONJUNCTIONS: Final = ("when", "where", "who")
"""Words that ask only before a verb or at the beginning."""


@dataclass(slots=True)
class Reading:
    """What a question says.

    Of what is not English there are only ``words``, folded; of what is, all the rest.
    ``roles`` is every concept with the preposition that it stands behind, and
    ``order`` the same as they were met, but sorted where they are joined by "and".
    ``heads`` says of what stands behind "of", or before "'s", whose it is.
    ``has_gap`` is said of "who did he hit" and "what is it made of", unlike "who hit him".
    ``scope`` is what stands behind a negation, empty for one whose place says nothing.
    """

    text: str
    words: list[str] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)
    scope: list[str] = field(default_factory=list)
    asks: set[str] = field(default_factory=set)
    modals: set[str] = field(default_factory=set)
    tenses: set[str] = field(default_factory=set)
    persons: set[str] = field(default_factory=set)
    relations: set[str] = field(default_factory=set)
    heads: dict[str, str] = field(default_factory=dict)
    is_english: bool = False
    has_gap: bool = False
    is_task: bool = False


def read(text: str, lexicon: Lexicon) -> Reading:
    """Takes ``text`` apart."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text).translate(_FOLDED)
    if plain.isupper():
        plain = plain.lower()
    tokens: list[str] = _TOKEN.findall(plain)
    reading = Reading(text)
    if len(tokens) > MAX_WORDS:
        reading.words = [t.casefold() for t in tokens]
        return reading
    entries = [lexicon[t] for t in tokens]
    reading.is_english = _is_english(entries)
    if not reading.is_english:
        reading.words = [e[2] for e in entries if e[0] != STOP and (e[0] or e[2][0].isalnum())]
    if reading.is_english:
        _fill(reading, _spoken(entries), lexicon)
    return reading


def _is_english(entries: list[Entry]) -> bool:
    total = sum(map(_TALLY, entries))
    unknown, foreign, plain = total >> 40, total >> 20 & 0xFFFFF, total & 0xFFFFF
    if foreign > 1 and foreign >= plain:
        return False
    return plain > 0 and plain * 3 >= unknown


def _spoken(entries: list[Entry]) -> list[Entry]:
    """Entries that say something: contractions taken apart, phrases replaced by what they mean."""
    flat = [e for e in entries if e[0] or e[2].isalpha()]
    if any(e[0] == SEVERAL for e in flat):
        flat = [part for e in flat for part in e[4] or (e,)]
    found: list[Entry] = []
    after = 0
    for i, entry in enumerate(flat):
        if i < after:
            continue
        if entry[3] is not None:
            means, end = _phrase(entry[3], flat, i + 1)
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


def _fill(r: Reading, entries: list[Entry], lexicon: Lexicon) -> None:
    role, is_joined, is_fresh, is_negated, run = "", False, True, False, 0
    roles, order, owner = r.roles, r.order, ""
    for i, (kind, value, _, _, _, _) in enumerate(entries):
        if kind in _THINGS:
            if kind == MARK:
                r.marks.append(value)
            if not order and value in lexicon.tasks:
                r.is_task = True
            if owner:
                r.heads[owner] = value
                owner = ""
            if role == "of" and order:
                r.heads[value] = order[-1]
            if role == "'s":
                owner, role, behind = value, "of", ""
            else:
                behind = role
            if value not in roles:
                roles[value] = role
                order.append(value)
                if is_joined:
                    order[run:] = sorted(order[run:])
                else:
                    run = len(order) - 1
            role = behind
            if is_negated:
                r.scope.append(value)
            is_joined = is_fresh = is_negated = False
        elif kind == ROLE:
            if value != "to" or not _is_verb(entries, i + 1, lexicon):
                role = value
            else:
                role = ""
            if value in lexicon.weighty:
                r.relations.add(value)
        elif kind == AND:
            is_joined = bool(order)
        elif kind == NUMBER:
            r.numbers.append(value)
            is_joined = is_fresh = False
            run = len(order)
        elif kind == STOP:
            role, is_joined = "", False
            is_fresh = is_fresh or value == "."
        elif kind == NOT:
            if is_negated or value != "not":
                r.scope.append("")
            is_negated = is_negated or value == "not"
        elif kind == SYMBOL:
            r.symbols.append(value)
        elif kind == PERSON:
            r.persons.add(value)
            is_fresh = False
        else:
            role = ""
            _ask(r, entries[i : i + 2], is_fresh=is_fresh)
            is_fresh = False
    if is_negated:
        r.scope.append("")
    last = next((e[0] for e in reversed(entries) if e[0] != STOP), DROP)
    r.has_gap = r.has_gap or last == ROLE


def _ask(r: Reading, pair: list[Entry], *, is_fresh: bool) -> None:
    kind, value = pair[0][:2]
    following = pair[1] if len(pair) > 1 else None
    if kind == ASK:
        if value in _CONJUNCTIONS and not (
            following is None
            or following[0] in (BE, MODAL, STOP)
            or (is_fresh and following[0] != PERSON)
        ):
            return
        if value:
            r.asks.add(value)
    else:
        if is_fresh:
            r.asks.add("yesno")
        if kind == MODAL:
            r.modals.add(value)
        elif value != "-":
            r.tenses.add(value)
            r.has_gap = r.has_gap or pair[0].word in ("do", "does", "did")


def _is_verb(entries: list[Entry], at: int, lexicon: Lexicon) -> bool:
    if at == len(entries):
        return False
    kind, value = entries[at][:2]
    return kind in (BE, MODAL) or (kind == CONTENT and value in lexicon.verbs)
