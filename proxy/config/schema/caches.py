"""Settings of caches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from proxy.config.schema.record import Record, check_key, check_threshold, setting
from proxy.config.units import Comparison, Duration, Percent, Secret, Size


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheWhen(Record):
    """Which requests may be answered from the cache."""

    temperature: Comparison = setting("Bound of the temperature.", Comparison("<=", 0))
    seed: Literal["any", "given"] = setting("Whether a seed is needed.", "any")


@dataclass(frozen=True, slots=True, kw_only=True)
class Embed(Record):
    """Who makes embeddings: an upstream, or a model in this process."""

    upstream: str | None = setting("Name of the upstream; none: in this process.", None)
    model: str = setting(
        "The embedding model; in this process the folder of model.onnx and tokenizer.json."
    )
    timeout: Duration = setting("How long a request waits for it.", Duration(0.15))

    def __post_init__(self) -> None:
        """There must be time and a model."""
        _check_asked(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerJudge(Record):
    """A model that says whether two answers in other words say the same."""

    upstream: str = setting("Name of the upstream, asked for chat completions.")
    model: str = setting("The model.")
    timeout: Duration = setting("How long it may take; no client waits for it.", Duration(10))

    def __post_init__(self) -> None:
        """There must be time and a model."""
        _check_asked(self)


def _check_asked(asked: Embed | AnswerJudge) -> None:
    if asked.timeout <= 0:
        raise ValueError("timeout must be above 0")
    if not asked.model:
        raise ValueError("model must not be empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Semantic(Record):
    """Answering from the answer to a question that means the same."""

    mode: Literal["off", "shadow", "on"] = setting("Whether, or only measured.", "shadow")
    threshold: float = setting("Least cosine similarity.", 0.95)
    forgive: float | None = setting(
        "Cosine from which a word that one question lacks is forgiven, if all else is the same; "
        "none: never.",
        None,
    )
    embed: Embed | None = setting("Who makes embeddings.", None)
    judge: AnswerJudge | None = setting(
        "Who compares answers in other words; none: by rules that cannot tell of most long ones.",
        None,
    )
    verify: Percent = setting(
        "How many of its answers are held against what the upstream says.", Percent(0.05)
    )
    max_error: Percent = setting(
        "With more wrong answers than that proven, it only measures again.", Percent(0.05)
    )

    def __post_init__(self) -> None:
        """A similarity has its bounds, and somebody must embed."""
        check_threshold(self.threshold)
        if self.forgive is not None:
            check_threshold(self.forgive, "forgive")
        if self.mode != "off" and self.embed is None:
            raise ValueError("semantic needs embed: {upstream, model}, or mode: off")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache(Record):
    """Answers kept for the next who asks the same."""

    ttl: Duration = setting("How long an answer is fresh.", Duration(3600))
    stale: Duration = setting("How long it serves on while refreshed.", Duration(0))
    scope: Literal["tenant", "user", "global"] = setting("Who shares it.", "tenant")
    when: CacheWhen = setting("Which requests.", factory=CacheWhen)
    version: str = setting("Raise it to invalidate.", "")
    encrypt: Secret = setting("Key of 32 bytes, base64; empty: one of its own.", Secret(""))
    encrypt_before: Secret = setting(
        "The key before that one; what it sealed can still be read.", Secret("")
    )
    max_size: Size = setting("Bytes in memory.", Size(64 << 20))
    semantic: Semantic | None = setting("Questions that mean the same.", None)
    max_entry: Size = setting("Bytes of one answer.", Size(1 << 20))
    negative: Duration = setting(
        "How long a deterministic 400 is kept: `type: invalid_request_error` (vLLM: "
        "`BadRequestError`), which speaks of the request's form and would come again, and not "
        "`code: content_filter` or `content_policy_violation`. No other error is kept. `0s`: none.",
        Duration(15),
    )
    charge_hits: bool = setting("Count hits against quotas.", default=False)
    client_control: bool = setting(
        "Let requests say Cache-Control: no-cache, no-store, max-age, only-if-cached.",
        default=True,
    )

    def __post_init__(self) -> None:
        """Keys must be keys."""
        check_key(self.encrypt, "encrypt")
        check_key(self.encrypt_before, "encrypt_before")
        if self.encrypt_before and not self.encrypt:
            raise ValueError("encrypt_before needs an encrypt that follows it")
