"""The port to whoever is told when a person should know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypedDict

Kind = Literal["budget_soft", "budget_spent"]


class Facts(TypedDict):
    """Of which budget an alert tells; ``scope`` has a user only by hash."""

    scope: str
    budget: str
    usd: float


@dataclass(frozen=True, slots=True)
class Alert:
    """What happened: no prompt, no key."""

    kind: Kind
    tenant: str
    text: str
    facts: Facts


class Alerts(Protocol):
    """Tells people."""

    def tell(self, alert: Alert) -> None:
        """Hand over and return at once; delivery goes on by itself."""
        ...
