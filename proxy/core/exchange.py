"""One request and its answer, from admission to record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Literal

from multidict import MultiMapping

from proxy.core.endpoint import Endpoint
from proxy.core.plan import Plan, Target
from proxy.core.ports import Intake

EndKind = Literal["complete", "refused", "client_gone", "upstream_broke"]


@dataclass(slots=True)
class Usage:
    """Tokens as the upstream counted them, or as they were estimated.

    ``cached`` is the part of ``prompt`` that the upstream read from its own
    cache, ``reasoning`` the part of ``completion`` that was not shown;
    ``audio_in`` and ``audio_out`` are the parts that were sound.  ``tier`` is
    the service tier that the upstream says it served (``flex``, ``priority``).
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0
    audio_in: int = 0
    audio_out: int = 0
    estimated: bool = False
    tier: str = ""


@dataclass(slots=True)
class Head:
    """Status line and headers of an answer, before any of its body.

    ``headers`` are end-to-end headers only, as the upstream wrote them: the
    framing of the body (``length``, chunks) and everything hop-by-hop belong
    to the two connections and not to the answer.  ``length`` is in bytes and
    ``None`` where the upstream did not say.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    content_type: bytes = b""
    length: int | None = None
    is_stream: bool = False


CUT: Final = "cut"
"""What a task is cancelled with when it is the process that leaves, not the client."""


@dataclass(frozen=True, slots=True)
class End:
    """How an exchange ended.  Handed to every stage that was entered."""

    kind: EndKind
    error: BaseException | None = None


def _later(default: Any) -> Any:
    return field(default=default, init=False)


@dataclass(slots=True)
class Exchange:
    """The state that stages share.

    Who writes a field is named in its comment, before the semicolon; all others
    read.  A flight writes for those who follow it what forward wrote for itself.
    Times are seconds of the monotonic clock, 0 while the moment has not come.

    Slotted: without, an exchange is made faster, but what is not filled in is
    looked for on the instance and then on the class, dozens of times.
    """

    id: str  # edge
    method: str  # edge
    path: str  # edge; always begins with /v1/ where it can
    query: str  # edge; without the question mark
    headers: MultiMapping[str]  # edge; any case finds
    raw_headers: tuple[tuple[bytes, bytes], ...]  # edge; as the client wrote them
    endpoint: Endpoint  # edge
    intake: Intake  # edge
    peer: str  # edge; "" for a unix socket
    started: float  # edge
    tenant: str = _later("")  # authenticate
    key_name: str = _later("")  # authenticate; never the key
    tags: Mapping[str, str] = field(default_factory=dict, init=False)  # authenticate
    subject: str = _later("")  # authenticate; whom a token speaks for
    priority: int = _later(0)  # authenticate; 0 goes first at a contended upstream
    weight: int = _later(1)  # authenticate; share of a contended upstream
    raw: bytes | None = _later(None)  # parse, tools, guard, redact, embeddings; see architecture
    reads: Callable[[bytes], Any] | None = _later(None)  # parse; makes of ``raw`` the body, later
    _body: dict[str, Any] | None = _later(None)  # parse, redact, embeddings; see ``body``
    digested: tuple[bytes | None, bytes] = _later((None, b""))  # see ``digest``
    model: str = _later("")  # parse; as the client named it
    stream: bool = _later(default=False)  # parse; the client asked for a stream
    user: str = _later("")  # parse; who of the tenant's users it is for
    redaction: Any = _later(None)  # redact; what was redacted and how to put it back
    asked_route: str = _later("")  # route; the one asked for, wherever a budget leads
    is_altered: bool = _later(default=False)  # quota; a budget led it elsewhere or cut it short
    plan: Plan | None = _later(None)  # route, quota; whom to ask in which order
    estimate: Usage | None = _later(None)  # measure, quota; tokens expected before they are counted
    measured: Any = _later(None)  # measure; the prompt's size by classes of text
    prompt_most: int = _later(0)  # measure; tokens that the prompt hardly ever exceeds
    choices: int = _later(1)  # measure; answers asked for
    is_bounded: bool = _later(default=False)  # measure; the answer's length has a bound
    max_output: int | None = _later(None)  # measure, quota; tokens that an answer may have
    reserved: Any = _later(None)  # quota; what it settles
    keeps_usage: bool = _later(default=False)  # flight; usage is wanted though nobody asked
    held: Any = _later(None)  # cache, embeddings; a Reply charged for as if it came from upstream
    spared: tuple[int, int] | None = _later(None)  # embeddings; tokens, nanos charged for unasked
    led: Exchange | None = _later(None)  # flight; what it had begun and, leaving, ended
    # cache, embeddings, idempotency; the target whose stored answer is given again
    source: str = _later("")
    # watch, cache, idempotency; guards that flagged the answer, now or back then
    flags: tuple[str, ...] = _later(())
    target: Target | None = _later(None)  # forward; the one that is answering
    attempts: int = _later(0)  # forward
    upstream_status: int = _later(0)  # forward
    lends_key: bool = _later(default=False)  # forward; the key sent upstream was the client's
    upstream_s: float = _later(0.0)  # forward; waited for heads and connections
    queued_s: float = _later(0.0)  # forward; waited for a place at a contended upstream
    retried_s: float = _later(0.0)  # forward; waited between attempts
    sent_at: float = _later(0.0)  # forward; request written upstream
    first_byte_at: float = _later(0.0)  # forward; first content of the answer
    # forward, cache, embeddings, quota, record; the last two where nobody has said it
    usage: Usage | None = _later(None)
    finish: str = _later("")  # forward, cache; finish_reason or its like
    events: int = _later(0)  # forward; events delivered so far
    is_torn: bool = _later(default=False)  # forward; part of an event is with the client
    sequence: int = _later(0)  # forward; number of the next Responses event
    # forward, cache, embeddings, quota, record; billionths of a dollar
    cost_nanos: int | None = _later(None)
    overhead_s: float = _later(0.0)  # edge; our own share of the time to the head
    status: int = _later(0)  # edge; sent to the client
    sent_bytes: int = _later(0)  # edge
    # any; before the head
    answer_headers: list[tuple[bytes, bytes]] = field(default_factory=list, init=False)
    notes: dict[str, str] = field(default_factory=dict, init=False)  # any; logged only

    def twin(self) -> Exchange:
        """Another exchange that is where this one is now.

        Not by ``copy``, which takes twice as long.
        """
        made = object.__new__(Exchange)
        for name in Exchange.__slots__:
            setattr(made, name, getattr(self, name))
        return made

    @property
    def body(self) -> dict[str, Any] | None:
        """The parsed ``raw``; a stage that changes it replaces it by a copy.

        Where ``reads`` is set, nobody has looked into it yet: an answer that
        is at hand can mostly be found without.
        """
        body = self._body
        if body is None and self.reads is not None and self.raw is not None:
            body = self._body = self.reads(self.raw)
        return body

    @body.setter
    def body(self, body: dict[str, Any] | None) -> None:
        self._body = body

    def digest(self) -> bytes:
        """A digest of ``raw``, made once for all who ask."""
        raw, digest = self.digested
        if raw is None or raw is not self.raw:
            raw = self.raw or b""
            # In hardware nearly everywhere, and then twice as fast as BLAKE2b.
            digest = sha256(raw).digest()
            self.digested = (raw, digest)
        return digest

    @property
    def billed(self) -> str:
        """The model that is paid for: of the target that answers, or will first."""
        target = self.target
        if target is None and self.plan is not None:
            target = self.plan.targets[0]
        return (target.model if target is not None else "") or self.model

    @property
    def route(self) -> str:
        """Name of the route that was matched, or nothing yet."""
        return self.plan.route if self.plan is not None else ""
