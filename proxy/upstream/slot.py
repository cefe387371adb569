"""A place at a contended upstream, and what its use cost."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, Protocol

from proxy.core.exchange import Exchange
from proxy.rules.fairness import Turn

OUTPUT: Final = 2
"""What a token of output costs, in tokens of input."""

BLIND: Final = 256
"""Tokens of output expected of a request that nobody estimated."""


class Waiter(Protocol):
    """A future of the loop that runs us."""

    def done(self) -> bool:
        """Whether it has a result or nobody waits any more."""
        ...

    def set_result(self, result: Any, /) -> None:
        """Wake who waits."""
        ...

    def __await__(self) -> Generator[Any, None, Any]:
        """The result: the reason of a refusal, or nothing."""
        ...


class Slot(Turn):
    """A place among those being served, or the wait for one.

    ``prompt`` is the part of its expected cost that is input; ``began`` is
    when it was given, and ``is_held`` whether it was and is not back yet.
    """

    __slots__ = ("began", "is_held", "prompt", "waiter")

    waiter: Waiter  # only of one that waited

    def __init__(self, x: Exchange) -> None:
        expected = x.estimate
        if expected is not None:
            prompt, output = expected.prompt, expected.completion
        else:
            prompt, output = len(x.raw or b"") // 4, BLIND
        super().__init__(x.tenant, x.priority, x.weight, prompt + OUTPUT * output + 1)
        self.prompt = prompt
        self.began = 0.0
        self.is_held = False


def spent(x: Exchange, slot: Slot) -> float:
    """The work that an exchange really was.

    Without a usage report input is paid in full, as the upstream read it, and
    output by the events that were delivered; an unstreamed answer that
    reports nothing costs what was expected.
    """
    if x.usage is not None:
        return x.usage.prompt + OUTPUT * x.usage.completion + 1
    if x.stream or not 0 < x.upstream_status < 400:
        return slot.prompt + OUTPUT * x.events + 1
    return slot.cost


def first_token_s(x: Exchange) -> float | None:
    """Seconds until the upstream had read the prompt, where an answer shows it.

    Streams do, and answers without output (embeddings); of other unstreamed
    answers the first byte comes after the last token.
    """
    if x.first_byte_at <= x.sent_at:
        return None
    if x.stream or (x.usage is not None and not x.usage.completion):
        return x.first_byte_at - x.sent_at
    return None
