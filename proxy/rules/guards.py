"""What a guard is, and what follows from its verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from proxy.core.errors import AnswerMismatch, ContentBlocked, GuardUnavailable, ProxyError
from proxy.core.exchange import Exchange
from proxy.core.judging import Role, Said, Verdict
from proxy.rules.conformity import Conformity
from proxy.rules.globs import GlobSet
from proxy.rules.patterns import Finder

UNREADABLE: Final = Verdict(failure="unreadable")
"""The verdict on what is no JSON, such as forms, files and sockets."""

MISMATCH: Final = Verdict(category="schema")
HEADER: Final = b"x-sidestream-guards"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One guard, ready to use.

    It has a ``finder`` (patterns), or ``is_schema`` with a schema or that of
    the request, or neither: then a judge elsewhere is asked.  ``roles`` are
    those whose words it hears, ``paths`` the paths it is for (``None``: all).
    ``identity`` stands for all that its verdicts depend on; they are kept for
    ``remember_s`` seconds.
    ``window`` is the number of characters of a streamed answer that are held
    back for one verdict of a judge, 0 for all of it.
    """

    name: str
    action: Literal["block", "flag", "shadow"] = "block"
    fails_open: bool = False
    roles: frozenset[Role] = frozenset({"user", "assistant", "tool", "other"})
    paths: GlobSet | None = None
    finder: Finder | None = None
    is_schema: bool = False
    conformity: Conformity | None = None
    identity: bytes = b""
    remember_s: float = 600.0
    window: int = 1000

    @property
    def asks(self) -> bool:
        """Whether the verdict is somebody else's."""
        return self.finder is None and not self.is_schema

    def takes(self, path: str) -> bool:
        """Whether it is for this path."""
        return self.paths is None or self.paths.matches(path)

    def hears(self, texts: Iterable[Said]) -> tuple[Said, ...]:
        """Those of ``texts`` that it is to judge."""
        return tuple(said for said in texts if said.role in self.roles)


def refusal(guard: Guard, verdict: Verdict) -> ProxyError | None:
    """What a verdict is to the client; ``None`` where it may go on."""
    if guard.action != "block":
        return None
    if verdict.failure:
        if guard.fails_open:
            return None
        if verdict is UNREADABLE:
            return ContentBlocked(f"guard {guard.name!r} cannot read what is sent on this path")
        return GuardUnavailable(f"guard {guard.name!r} cannot judge just now", retry_after=1)
    if verdict is MISMATCH:
        return AnswerMismatch(f"the answer does not fit its JSON Schema (guard {guard.name!r})")
    if verdict.category:
        return ContentBlocked(f"blocked by guard {guard.name!r}: {verdict.category}")
    return None


def note(x: Exchange, guard: Guard, verdict: Verdict) -> None:
    """Say in the log line what was found, and in a header if it is a flag."""
    found = verdict.category or verdict.failure
    if not found:
        return
    word = f"{guard.name}: {found} ({guard.action})"
    before = x.notes.get("guards")
    if before is None or word not in before.split("; "):
        x.notes["guards"] = f"{before}; {word}" if before else word
    if is_flagged(guard, verdict):
        mark(x, (guard.name,))


def is_flagged(guard: Guard, verdict: Verdict) -> bool:
    """Whether a verdict is told in a header."""
    return guard.action == "flag" and bool(verdict.category)


def mark(x: Exchange, guards: Iterable[str]) -> None:
    """Name guards that flagged in the header, each once."""
    for guard in guards:
        _name(x, guard.encode("ascii", "replace").translate(None, bytes(range(32))))


def _name(x: Exchange, name: bytes) -> None:
    for i, (header, names) in enumerate(x.answer_headers):
        if header == HEADER:
            if name not in names.split(b", "):
                x.answer_headers[i] = (HEADER, names + b", " + name)
            return
    x.answer_headers.append((HEADER, name))
