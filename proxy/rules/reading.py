"""A question taken apart: what it is about, what it asks, and who does what to whom."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from proxy.rules.lexicon import (
    AND, ASK, BE, CONTENT, DROP, FOREIGN, MARK, MODAL, NOT, NUMBER, PERSON, ROLE, SEVERAL, STOP,
    SYMBOL, Entry, Lexicon,
)  # fmt: skip

MAX_WORDS: Final = 200
"""Longer texts are not taken apart: only the same words in the same order are alike."""

_TOKEN: Final = re.compile(
    r"```[^`]*```|`[^`\n]{1,200}`"  # code
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
_THINGS: Final = (CONTENT, MARK, FOREIGN)
_CONJUNCTIONS: Final = ("when", "where", "who")
"""Words that ask only before a verb or at the beginning."""


@dataclass(slots=True)
class Reading:
    """What a question says.

    ``words`` is all of it, folded; the rest stays empty where it is not English.
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
    reading.words = [e[2] for e in entries if e[0] != STOP and (e[0] or e[2][0].isalnum())]
    reading.is_english = _is_english(entries, lexicon.known)
    if reading.is_english:
        _fill(reading, list(_spoken(entries)), lexicon)
    return reading


def _is_english(entries: list[Entry], known: frozenset[str]) -> bool:
    unknown = foreign = plain = 0
    for kind, value, word, _, _ in entries:
        if kind == CONTENT:
            if word in known or value in known:
                plain += 1
            else:
                unknown += 1
        elif kind == FOREIGN:
            foreign += 1
        elif kind not in (STOP, NUMBER, SYMBOL, MARK) and word[0].isalpha():
            plain += 1
    if foreign > 1 and foreign >= plain:
        return False
    return plain > 0 and plain * 3 >= unknown


def _spoken(entries: list[Entry]) -> Iterator[Entry]:
    """Entries with contractions taken apart and phrases replaced, the longest first."""
    flat: list[Entry] = []
    for entry in entries:
        if entry[0] == SEVERAL:
            flat.extend(entry[4])
        elif entry[0] != DROP or entry[2].isalpha():
            flat.append(entry)
    i, n = 0, len(flat)
    while i < n:
        entry = flat[i]
        node = entry[3]
        i += 1
        if node is not None:
            means, j, after = node.get(""), i, i
            while j < n:
                following = node.get(flat[j][2])
                j += 1
                if following is None:
                    if flat[j - 1][0] != DROP:
                        break
                    continue
                node = following
                if "" in node:
                    means, after = node[""], j
            if means is not None:
                i = after
                yield from means
                continue
        yield entry


def _fill(r: Reading, entries: list[Entry], lexicon: Lexicon) -> None:
    role, is_joined, is_fresh, is_negated, run = "", False, True, False, 0
    roles, order, owner = r.roles, r.order, ""
    for i, (kind, value, _, _, _) in enumerate(entries):
        if kind == DROP:
            continue
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
    ending = [e[0] for e in entries[-3:] if e[0] != STOP and e[0] != DROP]
    r.has_gap = r.has_gap or bool(ending and ending[-1] == ROLE)


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
