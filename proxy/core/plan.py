"""What routing decided for one request: a value that says why."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Target:
    """One upstream, and the model to name there.

    ``name`` is what the log and ``x-sidestream-target`` say; ``model`` is
    empty where the client's own name is kept.
    """

    name: str
    upstream: str
    model: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """When another attempt is allowed before the first byte is sent on.

    ``attempts`` counts all tries at one target; ``on`` holds causes
    (``connect``, ``reset``, ``timeout``) and statuses (``429``, ``5xx``);
    ``budget`` is the share of requests that may be retried.
    """

    attempts: int = 2
    on: frozenset[str] = frozenset({"connect", "reset", "timeout", "408", "409", "429", "5xx"})
    budget: float = 0.2


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something that was not chosen, and the reason, for people to read."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The route that was matched and its targets, in the order to try them."""

    route: str
    targets: tuple[Target, ...]
    retry: Retry = field(default_factory=Retry)
    dropped: tuple[Dropped, ...] = ()
