"""How long an upstream may take for what."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.core.errors import UpstreamTimeout


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds: to the head and first content, between contents, for the whole."""

    first: float
    idle: float
    total: float

    def overdue(
        self, now: float, *, since: float, started: float, spoke: float, has_content: bool
    ) -> UpstreamTimeout | None:
        """The deadline that has passed at ``now``, if one has.

        The exchange began at ``since``, this attempt at ``started``; the
        upstream last said something that is content at ``spoke``.
        """
        if now - since > self.total:
            return UpstreamTimeout(f"the answer took over {self.total:g} s in all")
        if not has_content:
            if now - started > self.first:
                return UpstreamTimeout(f"the upstream gave no answer within {self.first:g} s")
        elif now - spoke > self.idle:
            return UpstreamTimeout(f"the upstream was silent for {self.idle:g} s")
        return None
