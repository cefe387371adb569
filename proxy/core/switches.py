"""Tenants and routes that an operator has switched off."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

What = Literal["tenant", "route"]


class Switches:
    """What is off now; everything is on that is not in here."""

    __slots__ = ("routes", "tenants")

    def __init__(self) -> None:
        self.tenants: frozenset[str] = frozenset()
        self.routes: frozenset[str] = frozenset()

    def put(self, what: What, name: str, *, is_off: bool) -> None:
        """Switch one off or on."""
        found = self.tenants if what == "tenant" else self.routes
        found = found | {name} if is_off else found - {name}
        if what == "tenant":
            self.tenants = found
        else:
            self.routes = found

    def replace(self, words: Iterable[str]) -> None:
        """Take over the whole state: ``tenant:acme``, ``route:chat``."""
        pairs = [word.partition(":") for word in words]
        self.tenants = frozenset(name for what, _, name in pairs if what == "tenant")
        self.routes = frozenset(name for what, _, name in pairs if what == "route")

    def words(self) -> list[str]:
        """The whole state."""
        return sorted(
            [f"tenant:{name}" for name in self.tenants] + [f"route:{name}" for name in self.routes]
        )
