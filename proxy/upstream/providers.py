"""What providers do differently: where the key goes, where paths are, quirks.

A preset is a value; what it cannot say in fields it says in one of two
functions on bodies.  Everything else is the same wire.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import orjson

_GUIDED: Final = {
    "guided_json": "json",
    "guided_regex": "regex",
    "guided_choice": "choice",
    "guided_grammar": "grammar",
}
"""Fields that vLLM took until 0.11 and later ignores without a word."""

_ROOT_PATHS: Final = ("/tokenize", "/detokenize", "/pooling", "/classify", "/score", "/rerank",
                      "/v2/rerank")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One ``kind`` of upstream.

    ``asks_usage``: it takes ``stream_options.include_usage``.  ``idle_s``:
    seconds a kept connection may idle, below the server's own keep-alive.
    ``shares_prefixes``: tenants' prompts share a cache unless salted.
    ``output_field`` bounds an answer of chat where the client did not.
    ``strip_headers`` and ``strip_body`` are what tenants may not send there.
    """

    kind: str
    base_url: str = ""
    key_header: bytes = b"authorization"
    key_prefix: bytes = b"Bearer "
    extra_headers: tuple[tuple[bytes, bytes], ...] = ()
    asks_usage: bool = True
    idle_s: float = 30.0
    strip_headers: frozenset[bytes] = frozenset()
    strip_body: frozenset[str] = frozenset()
    has_root_paths: bool = False
    translates_guided: bool = False
    normalises_errors: bool = False
    shares_prefixes: bool = False
    api_version: str = ""
    output_field: str = "max_tokens"

    @property
    def changes_bodies(self) -> bool:
        """Whether ``body_for`` may have something to do."""
        return self.translates_guided or bool(self.strip_body)

    def auth_headers(self, key: str) -> list[tuple[bytes, bytes]]:
        """The key as the provider takes it; nothing without a key."""
        own = [(self.key_header, self.key_prefix + key.encode())] if key else []
        return own + list(self.extra_headers)

    def path_for(self, base_path: str, path: str, query: str, model: str) -> str:
        """Path and query of a request line: ours, under the provider's base."""
        is_deployment = self.kind == "azure" and not base_path.endswith("/v1")
        if is_deployment:
            base = base_path.rstrip("/").removesuffix("/openai")
            whole = f"{base}/openai/deployments/{_segment(model)}{path.removeprefix('/v1')}"
        elif self.has_root_paths and path.startswith(_ROOT_PATHS):
            whole = base_path.removesuffix("/v1") + path
        else:
            whole = base_path + (path.removeprefix("/v1") if base_path else path)
        if is_deployment and "api-version=" not in query:
            version = f"api-version={self.api_version or DEFAULT_API_VERSION}"
            query = f"{query}&{version}" if query else version
        return f"{whole}?{query}" if query else whole

    def body_for(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body as this provider may have it; the same object if it is fine."""
        if self.strip_body and not self.strip_body.isdisjoint(body):
            body = {name: value for name, value in body.items() if name not in self.strip_body}
        if self.translates_guided and not _GUIDED.keys().isdisjoint(body):
            body = structured(body)
        return body

    def normalise_error(self, status: int, body: bytes) -> bytes:
        """The same error with a string ``code`` and an object ``error``.

        The same bytes where the provider's errors are OpenAI's already.
        """
        if not self.normalises_errors:
            return body
        try:
            error = orjson.loads(body)["error"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return body
        if isinstance(error, str):
            error = {"message": error, "type": _type(status), "param": None, "code": None}
        elif isinstance(error, dict) and isinstance(error.get("code"), int):
            error = {**error, "code": _CODES.get(status)}
        else:
            return body
        return orjson.dumps({"error": error})


_CODES: Final = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
DEFAULT_API_VERSION: Final = "2024-10-21"
"""Azure's last generally available dated version; its ``/openai/v1`` needs none."""


def _type(status: int) -> str:
    return "invalid_request_error" if status < 500 else "server_error"


def _segment(model: str) -> str:
    """A model as one path segment: nothing in it may end or leave the path."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in model)
    return safe if safe.strip(".") else "-"


def salts(secret: str) -> Callable[[str], str]:
    """What makes a tenant's prefixes its own: the same at every replica that
    has ``secret``, and not to be guessed by another tenant.
    """
    key = blake2b(secret.encode(), digest_size=32).digest()

    @lru_cache(maxsize=4096)
    def salt(tenant: str) -> str:
        return blake2b(tenant.encode(), key=key, digest_size=16).hexdigest()

    return salt


def structured(body: dict[str, Any]) -> dict[str, Any]:
    """``guided_*`` fields as ``structured_outputs``, which replaced them."""
    given = {new: body[old] for old, new in _GUIDED.items() if body.get(old) is not None}
    rest = {name: value for name, value in body.items() if name not in _GUIDED}
    already = rest.get("structured_outputs")
    rest["structured_outputs"] = {**given, **(already if isinstance(already, dict) else {})}
    return rest


_VLLM_HEADERS: Final = frozenset({b"x-vllm-priority", b"x-data-parallel-rank", b"x-session-id"})
_VLLM_BODY: Final = frozenset(
    {"priority", "request_id", "kv_transfer_params", "vllm_xargs", "chat_template"}
)

PROVIDERS: Final[dict[str, Provider]] = {
    p.kind: p
    for p in (
        Provider(
            kind="openai",
            base_url="https://api.openai.com/v1",
            output_field="max_completion_tokens",
        ),
        Provider(
            kind="azure",
            key_header=b"api-key",
            key_prefix=b"",
            output_field="max_completion_tokens",
        ),
        Provider(
            kind="anthropic",
            base_url="https://api.anthropic.com/v1",
            extra_headers=((b"anthropic-version", b"2023-06-01"),),
        ),
        Provider(kind="gemini", base_url="https://generativelanguage.googleapis.com/v1beta/openai"),
        Provider(kind="mistral", base_url="https://api.mistral.ai/v1", asks_usage=False),
        Provider(kind="groq", base_url="https://api.groq.com/openai/v1"),
        Provider(kind="openrouter", base_url="https://openrouter.ai/api/v1"),
        Provider(
            kind="vllm",
            idle_s=4.0,
            strip_headers=_VLLM_HEADERS,
            strip_body=_VLLM_BODY,
            has_root_paths=True,
            translates_guided=True,
            normalises_errors=True,
            shares_prefixes=True,
        ),
        Provider(kind="ollama", base_url="http://127.0.0.1:11434/v1"),
        Provider(kind="generic", has_root_paths=True),
    )
}
