"""What redaction does and remembers in the course of one exchange."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from proxy.core.errors import ContentFiltered, RedactionFailed
from proxy.redact.detector import Finding
from proxy.redact.engine import TooMany
from proxy.redact.pseudonyms import Pseudonyms, TenantKey, TooManyOriginals
from proxy.redact.restore import Restorer
from proxy.redact.ruleset import Action, Ruleset, masked
from proxy.redact.scan import Source, scan
from proxy.redact.views import context, views

SECRETS: Final = "secrets"

_ESCAPES: Final = ((b"\\n", b"\n"), (b'\\"', b'"'), (b"\\t", b"\t"), (b"\\/", b"/"), (b"\\r", b"\r"),
                   (b"\\b", b"\b"), (b"\\f", b"\f"))  # fmt: skip


class Redaction:
    """Redacts the texts of a request and restores those of its answer.

    ``recognised`` is what a service found in which text, ``response_id`` the id
    under which the provider keeps the answer.  ``counts`` says how often what was
    done with which kind.  ``told`` is told of each finding; only the command line
    asks.
    """

    __slots__ = ("counts", "pseudonyms", "recognised", "response_id", "rules", "told")

    def __init__(self, rules: Ruleset, key: TenantKey) -> None:
        self.rules = rules
        self.pseudonyms = Pseudonyms(key)
        self.counts: dict[tuple[str, Action], int] = {}
        self.response_id = ""
        self.recognised: dict[str, list[Finding]] = {}
        self.told: Callable[[Finding, Action, str], None] | None = None

    @property
    def whose(self) -> str:
        """Names the key under which something was replaced; empty if nothing was."""
        return self.pseudonyms.whose if self.counts else ""

    def is_clean(self, raw: bytes) -> bool:
        """Whether a look at a whole JSON body shows that no string of it holds
        anything.

        Strings are what stands between quotes, and nothing that is looked for
        can tell a quote from the end of a text.  Whatever could make that
        untrue (escapes within escapes, codes of codes) is not clean.
        """
        source = self.rules.source
        if not source.reads_within or self.rules.recogniser is not None:
            return False
        return _is_clean(source, raw)

    def is_clean_answer(self, raw: bytes) -> bool:
        """The same of an answer in which nothing is to be restored."""
        return self.rules.answers is None or _is_clean(self.rules.answers, raw)

    def request_text(self, text: str) -> str:
        """What is sent instead of ``text``.  Raises ``ContentFiltered``."""
        try:
            found, _ = scan(self.rules.source, text, 0, is_final=True)
            if self.recognised and (more := self.recognised.get(text)):
                found = _with(found, more)
            if not found:
                return text
            return self.applied(text, 0, len(text), found, is_answer=False)
        except (TooMany, TooManyOriginals) as exc:
            if not self.rules.is_closed:
                return text
            raise RedactionFailed(
                "the request holds more that looks personal than can be redacted"
            ) from exc

    def recognise(self, text: str, spans: Iterable[tuple[int, int, str]]) -> None:
        """Take note of what a service found in ``text``."""
        self.recognised[text] = [
            Finding(start, end, kind, "recognised", start)
            for start, end, kind in spans
            if 0 <= start < end <= len(text)
        ]

    def answer_text(self, text: str, *, is_json: bool) -> str:
        """A whole text of an answer, scanned and restored."""
        channel = Channel(self, is_json=is_json)
        made = channel.feed(text, is_final=True)
        if channel.stopped is not None:
            raise channel.stopped
        return made

    def applied(
        self, text: str, start: int, end: int, found: list[Finding], *, is_answer: bool
    ) -> str:
        """``text[start:end]`` with something else in the place of findings."""
        parts: list[str] = []
        for one in found:
            parts.append(text[start : one.start])
            parts.append(self._instead(one, text[one.start : one.end], is_answer=is_answer))
            start = one.end
        parts.append(text[start:end])
        return "".join(parts)

    def _instead(self, one: Finding, original: str, *, is_answer: bool) -> str:
        rules = self.rules
        action = rules.answer_action if is_answer else rules.action_for(one.kind)
        key = (one.kind, action)
        self.counts[key] = self.counts.get(key, 0) + 1
        if self.told is not None:
            self.told(one, action, original)
        if action == "block":
            where = "answer" if is_answer else "request"
            raise ContentFiltered(
                f"the {where} was stopped by redaction {rules.name!r}: it holds {one.kind}"
                f" ({one.form})"
            )
        if action == "pseudonymise":
            if is_answer or one.kind == SECRETS or not rules.restore:
                return self.pseudonyms.irreversible(one.kind, original)
            return self.pseudonyms.pseudonym(one.kind, original)
        if action == "mask":
            return masked(original)
        if action == "hash":
            return self.pseudonyms.hashed(one.kind, original)
        return "" if action == "remove" else original


def _is_clean(source: Source, raw: bytes) -> bool:
    if b"data:" in raw or b";base64," in raw:
        return False
    if b"\\" in raw:
        if b"\\u" in raw or b"\\\\" in raw:
            return False
        for escape, char in _ESCAPES:
            raw = raw.replace(escape, char)
    if raw.isascii():
        return not source.may_find(raw)
    return not any(source.may_find(v.data) for v in views(raw.decode("utf-8", "replace")))


def _with(found: list[Finding], more: list[Finding]) -> list[Finding]:
    """Both, in order; of two that overlap the one that was found here."""
    added = [one for one in more if not any(f.start < one.end and one.start < f.end for f in found)]
    merged: list[Finding] = []
    for one in sorted((*found, *added), key=lambda f: f.start):
        if not merged or one.start >= merged[-1].end:
            merged.append(one)
    return merged


class Channel:
    """One run of text of an answer that comes in pieces: scan, then restore.

    ``stopped`` is why nothing more may go, once a finding is to be blocked: what
    stands before it is still given.
    """

    __slots__ = ("_buffer", "_redaction", "_restorer", "_scans", "_start", "stopped")

    def __init__(self, redaction: Redaction, *, is_json: bool) -> None:
        self._redaction = redaction
        self._scans = redaction.rules.answers
        self._restorer = None
        if redaction.pseudonyms.originals:
            self._restorer = Restorer(redaction.pseudonyms, is_json=is_json)
        self.stopped: ContentFiltered | None = None
        self._buffer = ""
        self._start = 0  # of what has not been sent; before it stands what is seen of it

    def feed(self, text: str, *, is_final: bool = False) -> str:
        """What may go on now; everything with ``is_final``."""
        if not text and not is_final:
            return ""
        if self._scans is not None:
            text = self._scanned(text, is_final=is_final)
        restorer = self._restorer
        if restorer is None:
            return text
        text = restorer.feed(text)
        return text + restorer.flush() if is_final else text

    def flush(self) -> str:
        """What was held back."""
        return self.feed("", is_final=True)

    @property
    def pending(self) -> str:
        """What is held back."""
        scanned = self._restorer.held if self._restorer is not None else ""
        return scanned + self._buffer[self._start :]

    def _scanned(self, text: str, *, is_final: bool) -> str:
        assert self._scans is not None
        buffer, start = self._buffer + text, self._start
        try:
            found, until = scan(self._scans, buffer, start, is_final=is_final)
        except TooMany as exc:
            if self._redaction.rules.is_closed:
                raise RedactionFailed(
                    "the answer holds more that looks personal than can be looked at"
                ) from exc
            found, until = [], len(buffer)
        if found:
            try:
                out = self._redaction.applied(buffer, start, until, found, is_answer=True)
            except ContentFiltered as exc:
                self.stopped = exc
                return buffer[start : found[0].start]
        else:
            out = buffer[start:until]
        seen = context(buffer, until)
        self._buffer = buffer[seen:]
        self._start = until - seen
        return out
