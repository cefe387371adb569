"""Counting a prompt exactly, where an upstream can: vLLM's ``/tokenize``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.core.exchange import Exchange
from proxy.upstream.ask import ask
from proxy.upstream.target import Upstream

TIMEOUT_S: Final = 0.5
_FIELDS: Final = ("messages", "prompt", "tools", "chat_template_kwargs")


class ExactCount:
    """Asks the first target of an exchange's plan, if it is a vLLM server."""

    def __init__(self, upstreams: Mapping[str, Upstream], now: Callable[[], float]) -> None:
        self._upstreams = upstreams
        self._now = now

    async def __call__(self, x: Exchange) -> int | None:
        """The prompt's tokens; ``None`` if that cannot be had in half a second."""
        assert x.plan is not None
        target = x.plan.targets[0]
        upstream = self._upstreams[target.upstream]
        body = x.body
        if upstream.provider.kind != "vllm" or body is None:
            return None
        asked: dict[str, Any] = {name: body[name] for name in _FIELDS if name in body}
        if isinstance(body.get("input"), str):
            asked["prompt"] = body["input"]
        if "messages" not in asked and not isinstance(asked.get("prompt"), str):
            return None
        asked["model"] = target.model or x.model
        answer = await ask(upstream, "/tokenize", asked, within_s=TIMEOUT_S, now=self._now)
        count = answer.get("count")
        return count if type(count) is int and count >= 0 else None
