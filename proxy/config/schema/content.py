"""Settings about content: redaction and guards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import re2

from proxy.config.schema.record import Record, check_key, check_threshold, setting
from proxy.config.units import Count, Duration, JsonText, Secret

Detector = Literal[
    "email", "phone", "credit_card", "iban", "us_ssn", "national_id", "ip_address", "mac",
    "url_credentials", "person", "birth_date", "passport", "drivers_license", "crypto_address",
    "coordinates", "secrets",
]  # fmt: skip
Action = Literal["pseudonymise", "mask", "remove", "hash", "block", "flag"]


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
        check_key(self.key, "key")


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
