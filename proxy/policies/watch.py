"""Judge answers while they go by, or before they do.

What is searched for is found as the text grows: an event is held only while it
ends in something that the next characters may confirm, so a stream stays one.
What others must judge, and may block, is held back ``window`` characters at a
time.  The end of an answer always waits for all verdicts, so that a client
never sees the ``[DONE]`` of an answer that was blocked.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final

from proxy.core.errors import ProxyError
from proxy.core.exchange import Exchange, Head
from proxy.core.frame import Frame
from proxy.core.judging import PASS, Jury, Verdict
from proxy.core.policy import Answer, Policy, Send, StreamHalf
from proxy.rules.conformity import Conformity, Unusable, schema_asked_for
from proxy.rules.guards import MISMATCH, UNREADABLE, Guard, is_flagged, note, refusal
from proxy.rules.judged import Judged
from proxy.rules.window import Window
from proxy.wire.answer_text import Piece, contents_of, is_last, pieces_of
from proxy.wire.events import event_of

Count = Callable[[Guard, Verdict], None]

_NO_TEXT: Final = (b"audio/", b"image/", b"video/")
_NO_BODY: Final = frozenset({204, 205})


class WatchPolicy(Policy):
    """Blocks, flags or counts answers by what stands in them."""

    name = "watch"

    def __init__(self, guards: Mapping[str, Sequence[Guard]], jury: Jury, count: Count) -> None:
        self._guards = guards
        self._jury = jury
        self._count = count

    @property
    def is_idle(self) -> bool:
        """Whether no route has guards of answers."""
        return not any(self._guards.values())

    async def on_request(self, x: Exchange) -> Answer | None:
        """A socket's answers cannot be read, which is better said at once."""
        if x.endpoint.is_socket:
            for guard in self._of(x):
                _weigh(x, guard, UNREADABLE, self._count)
        return None

    def on_response(self, x: Exchange, head: Head) -> StreamHalf | None:
        """A half for answers that hold text; raises on what cannot be read."""
        guards = self._of(x)
        if not guards or not 200 <= head.status < 300 or head.content_type.startswith(_NO_TEXT):
            return None
        if x.method == "HEAD" or head.status in _NO_BODY or head.length == 0:
            return None
        encoded = any(name.lower() == b"content-encoding" for name, _ in head.headers)
        is_text = head.is_stream or b"json" in head.content_type
        if encoded or not (is_text or head.content_type.startswith(b"text/")):
            for guard in guards:
                _weigh(x, guard, UNREADABLE, self._count)
            return None
        return _Watch(x, guards, self._jury, self._count, grows=head.is_stream)

    def _of(self, x: Exchange) -> list[Guard]:
        return [guard for guard in self._guards.get(x.asked_route, ()) if guard.takes(x.path)]


def _weigh(x: Exchange, guard: Guard, verdict: Verdict, count: Count) -> None:
    """Count and note a verdict; raise what it asks for."""
    count(guard, verdict)
    note(x, guard, verdict)
    if is_flagged(guard, verdict) and guard.name not in x.flags:
        x.flags += (guard.name,)
    error = refusal(guard, verdict)
    if error is not None:
        raise error


class _Watch(StreamHalf):
    """One answer and all its guards."""

    def __init__(
        self, x: Exchange, guards: Sequence[Guard], jury: Jury, count: Count, *, grows: bool
    ) -> None:
        self._x = x
        self._count = count
        self._grows = grows
        self._searching = [guard for guard in guards if guard.finder is not None]
        self._windows: dict[tuple[str, Hashable], Window] = {}
        self._schemas = [guard for guard in guards if guard.is_schema]
        self._contents: dict[Hashable, list[str]] = {}
        self._judged = Judged([g for g in guards if g.asks], jury, x.id, grows=grows)
        self._held: list[Frame] = []
        self._is_over = False
        self._is_blocked = False

    def feed(self, frame: Frame, send: Send) -> None:
        """Search the frame's texts; hold it if it may yet be blocked."""
        is_end = frame.is_done
        if frame.data and not is_end:
            event = event_of(frame.data)
            if event is None:
                pieces = [Piece("", frame.data.decode("utf-8", "replace"))]
            else:
                is_end = is_last(event)
                pieces = pieces_of(event, grows=self._grows)
                if self._schemas:
                    for key, text in contents_of(event, grows=self._grows):
                        self._contents.setdefault(key, []).append(text)
            for piece in pieces:
                self._search(piece)
                self._judged.add(*piece)
        self._held.append(frame)
        if is_end:
            self._end()
        self._release(send)

    def flush(self, send: Send) -> None:
        """The answer is over, whatever its last event was."""
        self._end()
        self._release(send)

    @property
    def is_waiting(self) -> bool:
        """Whether a judge has something to say."""
        return self._judged.is_due and not self._is_blocked

    async def settle(self, send: Send) -> None:
        """Hear the judges, then let go of what they have seen."""
        for guard, verdict in await self._judged.hear():
            self._weigh(guard, verdict)
        self._release(send)

    def _release(self, send: Send) -> None:
        if self._is_blocked or self._judged.holds or not (self._grows or self._is_over):
            return
        if any(window.is_suspicious for window in self._windows.values()):
            return
        held, self._held = self._held, []
        for frame in held:
            send(frame)

    def _weigh(self, guard: Guard, verdict: Verdict) -> None:
        try:
            _weigh(self._x, guard, verdict, self._count)
        except ProxyError:
            # Whatever happens now, nothing more of this answer is sent.
            self._is_blocked = True
            self._held.clear()
            raise

    def _search(self, piece: Piece) -> None:
        for guard in tuple(self._searching):
            assert guard.finder is not None
            window = self._windows.get((guard.name, piece.key))
            if window is None:
                window = Window(guard.finder, suspects=guard.action == "block")
            category = window.feed(piece.text)
            if piece.key is None:
                category = category or window.finish()
            else:
                self._windows[guard.name, piece.key] = window
            if category:
                self._found(guard, category)

    def _found(self, guard: Guard, category: str) -> None:
        self._searching.remove(guard)
        for name, key in tuple(self._windows):
            if name == guard.name:
                del self._windows[name, key]
        self._weigh(guard, Verdict(category))

    def _end(self) -> None:
        """The texts are over: the last verdicts."""
        if self._is_over or self._is_blocked:
            return
        self._is_over = True
        guards = {guard.name: guard for guard in self._searching}
        for (name, _), window in tuple(self._windows.items()):
            if name in guards and (category := window.finish()):
                self._found(guards.pop(name), category)
        for guard in guards.values():
            self._weigh(guard, PASS)
        for guard in self._schemas:
            self._weigh(guard, self._conforms(guard))
        self._judged.end(self._count)

    def _conforms(self, guard: Guard) -> Verdict:
        conformity = guard.conformity
        try:
            if conformity is None:
                asked = schema_asked_for(self._x.body or {})
                if asked is None:
                    return PASS
                conformity = Conformity(asked)
            texts = ["".join(parts) for parts in self._contents.values()]
            return PASS if all(conformity.fits(text) for text in texts) else MISMATCH
        except Unusable:
            return Verdict(failure="schema cannot be applied")
