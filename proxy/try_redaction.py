"""``sidestream redact``: what a redaction makes of standard input.

The text goes to standard output as a provider would get it, the findings to
standard error.  A JSON body is redacted as the request it is.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import TextIOWrapper
from typing import Any, TextIO, get_args

import orjson

from proxy.config.schema.content import Detector
from proxy.core.errors import ProxyError
from proxy.redact.detector import Finding
from proxy.redact.exchange import Redaction
from proxy.redact.pseudonyms import TenantKey
from proxy.redact.ruleset import Action, Ruleset, source_of
from proxy.wire.texts import rewrite_texts


@dataclass(slots=True)
class Tried:
    """What came of it."""

    text: str
    findings: list[dict[str, Any]] = field(default_factory=list)
    refusal: str = ""


def everything() -> Ruleset:
    """Every detector, for trying without a configuration."""
    return Ruleset(name="everything", source=source_of(get_args(Detector)))


def choose(rulesets: Mapping[str, Ruleset], name: str | None) -> Ruleset:
    """The one that is named, or the only one.  Raises ``LookupError``."""
    if name is None and len(rulesets) == 1:
        return next(iter(rulesets.values()))
    if name is not None and name in rulesets:
        return rulesets[name]
    known = ", ".join(sorted(rulesets)) or "none"
    raise LookupError(f"name a redaction with --rules; the configuration has {known}")


def text_of(given: TextIO) -> str:
    """All that stands there; bytes that are no UTF-8 become replacement characters."""
    if isinstance(given, TextIOWrapper):
        given.reconfigure(errors="replace")
    return given.read()


def tried(rules: Ruleset, text: str) -> Tried:
    """Redact ``text`` and remember every finding."""
    result = Tried(text)
    key = TenantKey(rules.key or secrets.token_bytes(32), "")
    redaction = Redaction(rules, key)

    def told(one: Finding, action: Action, original: str) -> None:
        result.findings.append(
            {"kind": one.kind, "form": one.form, "action": action, "text": original}
        )

    redaction.told = told
    try:
        if _is_body(text):
            made = rewrite_texts(redaction.request_text, text.encode())
            result.text = text if made is None else made.decode()
        else:
            result.text = redaction.request_text(text)
    except ProxyError as exc:
        result.refusal = exc.message
    return result


def _is_body(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict | list)
    except orjson.JSONDecodeError:
        return False


def show(result: Tried, out: TextIO, err: TextIO, *, as_json: bool) -> int:
    """Print it; 1 if the text would have been refused."""
    if as_json:
        shown = {
            "text": result.text,
            "findings": result.findings,
            "refused": result.refusal or None,
        }
        out.write(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode() + "\n")
        return int(bool(result.refusal))
    err.writelines(
        f"{one['kind']} ({one['form']}): {one['action']}: {one['text']!r}\n"
        for one in result.findings
    )
    if result.refusal:
        err.write(f"refused: {result.refusal}\n")
        return 1
    out.write(result.text)
    return 0
