"""Settings about content: redaction, guards, caches."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from proxy.config.schema.record import Record, setting
from proxy.config.units import Comparison, Duration, Secret, Size

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard(Record):
    """A judge over requests or answers."""

    stage: Literal["request", "answer", "both"] = setting("What it judges.", "request")
    kind: Literal["patterns", "http", "llm", "schema", "moderation"] = setting("How it judges.")
    pack: str = setting("Name of a shipped pattern pack.", "")
    action: Literal["block", "flag", "shadow"] = setting("What follows.", "block")
    upstream: str | None = setting("Upstream of the judging model.", None)
    model: str = setting("The judging model.", "")
    url: str = setting("Where an http guard is asked.", "")
    timeout: Duration = setting("How long it may take.", Duration(1))
    on_error: Literal["open", "closed"] = setting("When it cannot judge.", "closed")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheWhen(Record):
    """Which requests may be answered from the cache."""

    temperature: Comparison = setting("Bound of the temperature.", Comparison("<=", 0))
    seed: Literal["any", "given"] = setting("Whether a seed is needed.", "any")


@dataclass(frozen=True, slots=True, kw_only=True)
class Embed(Record):
    """Who makes embeddings."""

    upstream: str = setting("Name of the upstream.")
    model: str = setting("The embedding model.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Semantic(Record):
    """Answering from the answer to a question that means the same."""

    mode: Literal["off", "shadow", "on"] = setting("Whether, or only measured.", "shadow")
    threshold: float = setting("Least cosine similarity.", 0.95)
    embed: Embed | None = setting("Who makes embeddings.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache(Record):
    """Answers kept for the next who asks the same."""

    ttl: Duration = setting("How long an answer is fresh.", Duration(3600))
    stale: Duration = setting("How long it serves on while refreshed.", Duration(0))
    scope: Literal["tenant", "user", "global"] = setting("Who shares it.", "tenant")
    when: CacheWhen = setting("Which requests.", factory=CacheWhen)
    version: str = setting("Raise it to invalidate.", "")
    encrypt: Secret = setting("Key of 32 bytes, base64; empty: one of its own.", Secret(""))
    max_size: Size = setting("Bytes in memory.", Size(64 << 20))
    semantic: Semantic | None = setting("Questions that mean the same.", None)
    max_entry: Size = setting("Bytes of one answer.", Size(1 << 20))
    negative: Duration = setting("How long a deterministic 400 is kept.", Duration(15))
    charge_hits: bool = setting("Count hits against quotas.", default=False)

    def __post_init__(self) -> None:
        """The key must be one."""
        if self.encrypt and not _is_key(self.encrypt):
            raise ValueError("encrypt is 32 bytes in base64, as `openssl rand -base64 32` makes")
