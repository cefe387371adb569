"""Cross-origin requests of browsers: who may read our answers."""

from __future__ import annotations

from proxy.core.exchange import Exchange, Head
from proxy.core.pipeline import ClientLeg

_METHODS = b"GET, POST, DELETE, OPTIONS"


class Cors:
    """The allowed origins; none by default, ``*`` for all."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._origins = frozenset(origins)

    def answers(self, x: Exchange, origin: str, leg: ClientLeg) -> bool:
        """Mark the answer readable for ``origin``; answer a preflight whole."""
        if "*" not in self._origins and origin not in self._origins:
            return False
        x.answer_headers += [
            (b"access-control-allow-origin", origin.encode("ascii", "replace")),
            (b"access-control-expose-headers", b"*"),
            (b"vary", b"origin"),
        ]
        wanted = x.headers.get("access-control-request-headers")
        if x.method != "OPTIONS" or "access-control-request-method" not in x.headers:
            return False
        x.answer_headers += [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", (wanted or "*").encode("ascii", "replace")),
            (b"access-control-max-age", b"600"),
        ]
        leg.start(x, Head(204, []))
        leg.finish()
        return True
