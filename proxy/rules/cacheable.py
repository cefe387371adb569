"""Which requests an answer may be kept for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from proxy.core.cache import Epochs, Terms, Vault
from proxy.core.exchange import Exchange
from proxy.rules.cachekey import MAX_EXACT, has_exponent, has_twice, headers_that_count
from proxy.rules.freshness import NO_WISH, Wish, wish_of
from proxy.rules.likeness import Likeness
from proxy.rules.planner import COMPARE

DEFAULT_TEMPERATURE: Final = 1.0

_OWN_TOOLS: Final = frozenset({"function", "custom"})
"""Tools that the client runs; the provider runs all others, and they see the world change."""

_REMOTE: Final = re.compile(rb'"[a-z_]*ur[il]":"(?i:https?|ftp|s3|gs|file)://')
_STATEFUL: Final = (
    "previous_response_id", "conversation", "background", "web_search_options", "audio",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class When:
    """What a request must be like: a bound of its temperature, and its seed.

    A seed makes an answer repeatable at any temperature, unless
    ``needs_seed``: then both are asked for.
    """

    sign: str = "<="
    bound: float = 0.0
    needs_seed: bool = False

    def allows(self, body: dict[str, Any]) -> bool:
        """Whether ``body`` asks for an answer that would come out the same."""
        temperature = body.get("temperature")
        if temperature is None:
            temperature = DEFAULT_TEMPERATURE
        if isinstance(temperature, bool) or not isinstance(temperature, int | float):
            return False
        has_seed = body.get("seed") is not None
        is_inside = COMPARE[self.sign](temperature, self.bound)
        return (is_inside and has_seed) if self.needs_seed else (is_inside or has_seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRule:
    """What a route's cache may do; times are seconds, sizes bytes.

    ``charges`` counts hits as if they had come from upstream.  ``kept`` is how
    long an answer is kept for when all targets fail, beyond the time that it
    is served; ``policy`` is a digest of what else shapes the answers of the
    route; ``likeness`` is what may be done with questions that mean the same.
    """

    name: str
    vault: Vault
    terms: Terms
    when: When = field(default_factory=When)
    kept: float = 0.0
    scope: Literal["tenant", "user", "global"] = "tenant"
    version: str = ""
    max_entry: int = 1 << 20
    listens: bool = True
    charges: bool = False
    policy: str = ""
    likeness: Likeness | None = None

    def scope_of(self, x: Exchange) -> str:
        """Whose answers they are: what they are sealed for, and erased with."""
        return "g" if self.scope == "global" else f"t.{x.tenant}"

    def wish_of(self, x: Exchange) -> Wish:
        """What the client says of freshness, if anybody listens."""
        if not self.listens or "cache-control" not in x.headers:
            return NO_WISH
        return wish_of(",".join(x.headers.getall("cache-control")))

    @property
    def on_exhausted(self) -> bool:
        """Whether an expired answer is better than an error."""
        return self.kept > 0


def why_not(x: Exchange, rule: CacheRule, wish: Wish, body: bytes) -> str:
    """Why the cache leaves ``x`` alone, in a word; empty if it does not."""
    assert x.body is not None
    if not wish.stores:
        return "no_store"
    if rule.scope == "user" and not x.user:
        return "no_user"
    if x.endpoint.name != "embeddings" and not rule.when.allows(x.body):
        return "when"
    if x.raw is not None and has_twice(x.raw, x.body, body):
        return "twice"
    return bypass(x.endpoint.name, x.body, body)


def facts_of(x: Exchange, rule: CacheRule, epochs: Epochs) -> tuple[str | int, ...]:
    """All that shapes an answer and is not in the body."""
    plan = x.plan
    assert plan is not None
    target = plan.targets[0]
    return (
        x.endpoint.name, x.query, rule.name, rule.version, rule.policy, epochs.of(plan.route),
        target.upstream, target.model, x.user if rule.scope == "user" else "",
        x.headers.get("x-sidestream-context-version", ""), headers_that_count(x.raw_headers),
    )  # fmt: skip


def bypass(endpoint: str, body: dict[str, Any], canonical: bytes) -> str:
    """Why a request is left alone, in a word; empty if it need not be."""
    store = body.get("store")
    if store or (store is None and endpoint == "responses"):
        # Kept by the provider under the id that the answer has; that is the
        # default of Responses.
        return "store"
    for name in _STATEFUL:
        if body.get(name):
            return name
    if isinstance(body.get("prompt"), dict):
        return "stored_prompt"
    tools = body.get("tools")
    if tools is not None and not _are_own(tools):
        return "hosted_tools"
    if b"://" in canonical and _REMOTE.search(canonical) is not None:
        return "remote_url"
    if has_exponent(canonical) and _has_huge(body):
        return "huge_number"
    return ""


def _are_own(tools: Any) -> bool:
    return isinstance(tools, list) and all(
        isinstance(tool, dict) and tool.get("type", "function") in _OWN_TOOLS for tool in tools
    )


def _has_huge(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_huge(v) for v in value.values())
    if isinstance(value, list):
        return any(_has_huge(v) for v in value)
    return isinstance(value, float) and abs(value) >= MAX_EXACT
