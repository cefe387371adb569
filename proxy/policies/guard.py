"""Judge requests before anything of them is sent upstream.

Guards that only search come first, because they cost microseconds and a
request that they block need not be shown to anybody else.  Those that ask
somebody are then asked all at once.  A guard that only counts keeps nobody
waiting: it is told the texts and heard later.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from proxy.core.errors import ProxyError
from proxy.core.exchange import Exchange
from proxy.core.judging import PASS, Case, Jury, Said, Verdict
from proxy.core.policy import Answer, Policy
from proxy.rules.guards import UNREADABLE, Guard, note, refusal
from proxy.rules.patterns import SLICE, Finder, slices
from proxy.rules.verdicts import Open, Verdicts
from proxy.wire.prompt import has_tokens, said_in, unambiguous

log = logging.getLogger("sidestream.guards")

Count = Callable[[Guard, Verdict], None]


class GuardPolicy(Policy):
    """Blocks, flags or counts requests by what stands in them."""

    name = "guard"

    def __init__(
        self,
        guards: Mapping[str, Sequence[Guard]],
        jury: Jury,
        verdicts: Verdicts,
        count: Count,
        rest: Callable[[], Awaitable[None]],
    ) -> None:
        # By route; those that search before those that ask.
        self._guards = {r: sorted(g, key=lambda guard: guard.asks) for r, g in guards.items()}
        self._jury = jury
        self._verdicts = verdicts
        self._count = count
        self._rest = rest

    @property
    def is_idle(self) -> bool:
        """Whether no route has guards of requests."""
        return not any(self._guards.values())

    async def on_request(self, x: Exchange) -> Answer | None:
        """Ask the guards of the route; raises if one of them blocks."""
        of_route = self._guards.get(x.route)
        if not of_route:
            return None
        guards = [guard for guard in of_route if guard.takes(x.path)]
        if x.body is None or has_tokens(x.body):
            if x.intake.has_body or x.endpoint.is_socket:
                self._weigh(x, [(guard, UNREADABLE) for guard in guards])
            return None
        if x.raw is not None:
            # What was judged is what is sent, whoever reads it.
            x.raw = unambiguous(x.raw, x.body)
        texts = tuple(said_in(x.body))
        to_ask: list[tuple[Guard, Open]] = []
        for guard in guards:
            heard = guard.hears(texts)
            if guard.finder is not None:
                self._weigh(x, [(guard, await self._found(guard.finder, heard))])
            elif heard and (known := self._open(x, guard, heard)) is not None:
                to_ask.append((guard, known))
        if to_ask:
            await self._ask(x, to_ask)
        return None

    def _open(self, x: Exchange, guard: Guard, heard: Sequence[Said]) -> Open | None:
        """What a judge must be waited for; ``None`` if it need not be."""
        known = self._verdicts.recall(guard.identity, heard)
        if isinstance(known, Verdict):
            self._weigh(x, [(guard, known)])
            return None
        if guard.action == "shadow":
            self._later(x, guard, known)
            return None
        return known

    async def _found(self, finder: Finder, texts: Sequence[Said]) -> Verdict:
        for said in texts:
            if len(said.text) <= SLICE:
                if category := finder.find(said.text):
                    return Verdict(category)
                continue
            for part, is_first, is_last in slices(said.text):
                if category := finder.find_inside(part, is_first=is_first, is_last=is_last):
                    return Verdict(category)
                # A prompt of megabytes must not keep all others waiting.
                await self._rest()
        return PASS

    async def _ask(self, x: Exchange, to_ask: Sequence[tuple[Guard, Open]]) -> None:
        cases = [Case(guard.name, known.texts) for guard, known in to_ask]
        found = []
        for (guard, known), verdict in zip(to_ask, await self._jury.judge(cases), strict=True):
            self._verdicts.keep(known, verdict, guard.remember_s)
            found.append((guard, verdict))
        self._weigh(x, found)

    def _later(self, x: Exchange, guard: Guard, known: Open) -> None:
        name = x.id

        def tell(verdict: Verdict) -> None:
            self._verdicts.keep(known, verdict, guard.remember_s)
            self._count(guard, verdict)
            if verdict.word != "pass":
                found = verdict.category or verdict.failure
                log.info("request %s: guard %s (shadow): %s", name, guard.name, found)

        self._jury.later(Case(guard.name, known.texts), tell)

    def _weigh(self, x: Exchange, found: Sequence[tuple[Guard, Verdict]]) -> None:
        """Count and note all verdicts; raise what the first of them asks for."""
        error: ProxyError | None = None
        for guard, verdict in found:
            self._count(guard, verdict)
            note(x, guard, verdict)
            error = error or refusal(guard, verdict)
        if error is not None:
            raise error
