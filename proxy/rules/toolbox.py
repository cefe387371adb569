"""Which tools may be offered and called, and how often."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from proxy.core.errors import ToolNotAllowed
from proxy.rules.globs import GlobSet

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The tools of one tenant; ``max_calls`` bounds the calls of one answer."""

    allow: GlobSet
    max_calls: int | None = None

    def check_name(self, name: str, *, param: str | None = None) -> None:
        """Raise ``ToolNotAllowed`` for a tool that is none of these."""
        if not self.allow.matches(name):
            # A name comes from a client or a model; what is no name is not repeated.
            shown = f"the tool {name!r}" if _NAME.fullmatch(name) else "a tool of that name"
            raise ToolNotAllowed(f"this tenant may not use {shown}", param=param)

    def check_count(self, calls: int, *, param: str | None = None) -> None:
        """Raise ``ToolNotAllowed`` if that many calls are too many."""
        if self.max_calls is not None and calls > self.max_calls:
            raise ToolNotAllowed(
                f"this tenant may make {self.max_calls} tool calls in one answer", param=param
            )
