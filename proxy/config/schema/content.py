"""Settings about content: redaction, guards, caches."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import re2

from proxy.config.schema.record import Record, check_threshold, setting
from proxy.config.units import Comparison, Count, Duration, JsonText, Percent, Secret, Size

Detector = Literal[
    "email", "phone", "credit_card", "iban", "us_ssn", "national_id", "ip_address", "mac",
    "url_credentials", "person", "birth_date", "passport", "drivers_license", "crypto_address",
    "coordinates", "secrets",
]  # fmt: skip
Action = Literal["pseudonymise", "mask", "remove", "hash", "block", "flag"]


def _is_key(key: Secret) -> bool:
    try:
        return len(base64.b64decode(key.reveal(), validate=True)) == 32
    except binascii.Error:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTests(Record):
    """Examples that a rule is tried on when it is loaded."""

    match: tuple[str, ...] = setting("Texts it must find.", ())
    no_match: tuple[str, ...] = setting("Texts it must leave alone.", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Record):
    """A kind of text of one's own to detect."""

    name: str = setting("Its name.")
    pattern: str = setting("An RE2 pattern.", "")
    terms: tuple[str, ...] = setting("Or words as they are.", ())
    tests: RuleTests | None = setting("Examples to try it on.", None)

    def __post_init__(self) -> None:
        """Exactly one of the two forms."""
        if bool(self.pattern) == bool(self.terms):
            raise ValueError("give pattern or terms")

    @property
    def source(self) -> str:
        """The pattern, or one for the words wherever they stand on their own."""
        return self.pattern or "|".join(map(_word, self.terms))


def _word(term: str) -> str:
    begin = r"\b" if term[:1].isascii() and term[:1].isalnum() else ""
    end = r"\b" if term[-1:].isascii() and term[-1:].isalnum() else ""
    return f"{begin}{re2.escape(term)}{end}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers(Record):
    """Looking for the same in answers."""

    detect: tuple[Detector, ...] = setting("What to look for.")
    action: Action = setting("What to do with it.", "mask")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpDetector(Record):
    """A service that finds what no pattern can, such as names.

    Asked once a request, with all of its text.
    """

    url: str = setting("Where it is asked, as http://presidio:3000/analyze.")
    preset: Literal["presidio"] = setting("How it is asked.", "presidio")
    entities: tuple[str, ...] = setting("What it is to look for.", ("PERSON",))
    language: str = setting("Language of the text.", "en")
    score: float = setting("Least score that counts.", 0.5)
    timeout: Duration = setting("How long it may take.", Duration(0.5))

    def __post_init__(self) -> None:
        """It is asked over HTTP."""
        if not self.url.startswith(("http://", "https://")):
            raise ValueError("url must begin with http:// or https://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction(Record):
    """What must not reach a provider, and what is sent in its place."""

    detect: tuple[Detector, ...] = setting("What to look for.", ())
    rules: tuple[Rule, ...] = setting("Kinds of one's own.", ())
    http: HttpDetector | None = setting("A service that looks too.", None)
    action: Action = setting("What to do with it.", "pseudonymise")
    actions: Mapping[str, Action] = setting(
        "Other actions for some kinds.", factory=lambda: MappingProxyType({})
    )
    key: Secret = setting(
        "Key of pseudonyms, 32 bytes in base64; empty: one of each process's own.", Secret("")
    )
    unreadable: Literal["refuse", "allow"] = setting(
        "Prompts given as token numbers, which cannot be read.", "refuse"
    )
    restore: bool = setting("Put the originals back in answers.", default=True)
    answers: Answers | None = setting("Looking at answers too.", None)
    on_error: Literal["open", "closed"] = setting("When a detector fails.", "closed")

    def __post_init__(self) -> None:
        """The key must be one."""
        if self.key and not _is_key(self.key):
            raise ValueError("key is 32 bytes in base64, as `openssl rand -base64 32` makes")


GuardKind = Literal["patterns", "http", "llm", "schema", "moderation"]
Pack = Literal["injection", "banned_output"]
CATEGORIES: Final[dict[str, tuple[str, ...]]] = {
    "injection": ("override", "extraction", "jailbreak", "forged_role", "smuggled"),
    "banned_output": ("shell", "sql", "code"),
}
"""What the shipped packs tell apart."""

Role = Literal["system", "user", "assistant", "tool", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard(Record):
    """A judge over requests or answers.

    ``block`` refuses, ``flag`` names the guard in ``x-sidestream-guards``,
    ``shadow`` only counts and keeps nobody waiting.  A guard of kind
    ``patterns`` searches; ``moderation``, ``llm`` and ``http`` ask somebody
    else; ``schema`` judges answers by a JSON Schema, the request's own where
    none is given here.  Roles that a client makes up are ``other``, as are tool
    definitions and all texts that are nobody's words.
    """

    stage: Literal["request", "answer", "both"] = setting("What it judges.", "request")
    kind: GuardKind = setting("How it judges.")
    pack: tuple[Pack, ...] = setting("Names of shipped pattern packs.", ())
    categories: tuple[str, ...] = setting("Those that count; by default all.", ())
    patterns: tuple[Rule, ...] = setting("Patterns of one's own; the name is the category.", ())
    action: Literal["block", "flag", "shadow"] = setting("What follows.", "block")
    roles: tuple[Role, ...] = setting(
        "Whose words in a request are judged.", ("user", "assistant", "tool", "other")
    )
    paths: tuple[str, ...] = setting("Globs of paths it is for; by default all.", ())
    upstream: str | None = setting("Upstream of the judging model.", None)
    model: str = setting("The judging model.", "")
    preset: Literal["json", "llama_guard", "shieldgemma"] = setting(
        "How an llm guard is asked and read.", "json"
    )
    prompt: str = setting("What an llm guard is told to look for.", "")
    threshold: float | None = setting(
        "Least score that counts; by default the judge decides.", None
    )
    url: str = setting("Where an http guard is asked.", "")
    headers: Mapping[str, Secret] = setting(
        "Headers to send there.", factory=lambda: MappingProxyType({})
    )
    region: str = setting("Where an http guard is, for tenants bound to regions.", "")
    schema: JsonText | None = setting("JSON Schema that answers must satisfy.", None)
    timeout: Duration = setting("How long it may take.", Duration(1))
    on_error: Literal["open", "closed"] = setting("When it cannot judge.", "closed")
    remember: Duration = setting("How long verdicts of others are kept.", Duration(600))
    window: Count = setting(
        "Characters of a streamed answer held back for one verdict of another; 0: all.",
        Count(1000),
    )

    def __post_init__(self) -> None:
        """Numbers must be such that something can happen."""
        if self.timeout <= 0:
            raise ValueError("timeout must be above 0")
        if self.threshold is not None:
            check_threshold(self.threshold)

    @property
    def judges_requests(self) -> bool:
        """Whether it is asked before anything is sent upstream."""
        return self.stage != "answer" and self.kind != "schema"

    @property
    def judges_answers(self) -> bool:
        """Whether it is asked about what came back."""
        return self.stage != "request" or self.kind == "schema"


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
        for name in ("encrypt", "encrypt_before"):
            secret: Secret = getattr(self, name)
            if secret and not _is_key(secret):
                raise ValueError(
                    f"{name} is 32 bytes in base64, as `openssl rand -base64 32` makes"
                )
        if self.encrypt_before and not self.encrypt:
            raise ValueError("encrypt_before needs an encrypt that follows it")
