"""The text of an answer on its way to judges who must be asked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Final

from proxy.core.judging import Case, Jury, Said, Verdict
from proxy.rules.guards import Guard

log = logging.getLogger("sidestream.guards")

Count = Callable[[Guard, Verdict], None]

MAX_TEXT: Final = 1 << 20
"""Characters of an answer that are kept for those who only watch."""


class Judged:
    """Gathers text until it is enough for a verdict.

    Guards that block see the text ``window`` characters at a time, each time
    with the characters before, so that nothing falls between two verdicts;
    what they have not seen ``holds`` the answer.  The others see all of it
    when it is over: those that flag an unstreamed answer before it is sent,
    the rest while nobody waits.
    """

    def __init__(self, guards: Sequence[Guard], jury: Jury, request: str, *, grows: bool) -> None:
        self._blocking = [guard for guard in guards if guard.action == "block"]
        self._telling = [guard for guard in guards if guard.action != "block"]
        self._jury = jury
        self._request = request
        self._grows = grows
        windows = [guard.window for guard in self._blocking if guard.window and grows]
        self._window = min(windows) if len(windows) == len(self._blocking) and windows else 0
        self._texts: dict[Hashable, list[str]] = {}
        self._fresh: dict[Hashable, list[str]] = {}
        self._size = 0
        self._before = ""
        self._is_over = False

    @property
    def holds(self) -> bool:
        """Whether there is text that a guard must see before anybody else."""
        return bool(self._size and self._blocking) or self.is_due

    @property
    def is_due(self) -> bool:
        """Whether judges are to be heard now."""
        if not self._size:
            return False
        if self._is_over:
            return bool(self._blocking or self._flagging)
        return bool(self._window and self._blocking and self._size >= self._window)

    @property
    def _flagging(self) -> list[Guard]:
        return [g for g in self._telling if g.action == "flag" and not self._grows]

    def add(self, key: Hashable, text: str) -> None:
        """Text of the answer; without a key it is a whole text, which may be
        one that has come in pieces before.
        """
        if not self._blocking and not self._telling:
            return
        if key is None:
            if any("".join(parts) == text for parts in self._texts.values()):
                return
            key = (text,)
        if self._size + len(text) > MAX_TEXT and not self._blocking:
            return
        self._texts.setdefault(key, []).append(text)
        self._fresh.setdefault(key, []).append(text)
        self._size += len(text)

    async def hear(self) -> list[tuple[Guard, Verdict]]:
        """Verdicts on what is due."""
        guards = [*self._blocking, *(self._flagging if self._is_over else ())]
        fresh = _joined(self._fresh)
        said = (Said("assistant", self._before + fresh),)
        self._before = fresh[-self._window :] if self._window else ""
        self._fresh.clear()
        self._size = 0
        verdicts = await self._jury.judge([Case(guard.name, said) for guard in guards])
        return list(zip(guards, verdicts, strict=True))

    def end(self, count: Count) -> None:
        """There is no more; those who only watch are told."""
        self._is_over = True
        flagging = self._flagging
        said = (Said("assistant", _joined(self._texts)),)
        for guard in self._telling:
            if guard not in flagging and said[0].text:
                self._jury.later(Case(guard.name, said), self._teller(guard, count))

    def _teller(self, guard: Guard, count: Count) -> Callable[[Verdict], None]:
        def tell(verdict: Verdict) -> None:
            count(guard, verdict)
            if found := verdict.category or verdict.failure:
                log.info("answer to %s: guard %s (%s): %s", self._request, guard.name,
                         guard.action, found)  # fmt: skip

        return tell


def _joined(texts: dict[Hashable, list[str]]) -> str:
    return "\n".join("".join(parts) for parts in texts.values())
