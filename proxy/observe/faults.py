"""Whose fault it is that a request ended in an error that the upstream wrote itself."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from proxy.core.errors import Fault
from proxy.core.exchange import End, Exchange

_KEYED: Final = frozenset({401, 402, 403, 407})
"""Statuses that speak of the key the request was sent with."""

_ASKED_WRONG: Final = frozenset({400, 404, 405, 409, 410, 411, 412, 413, 414, 415, 416, 417, 422})
"""Statuses that speak of the request, as the client wrote it."""

_CODES: Final = {status.value: f"upstream_{status.value}" for status in HTTPStatus}


def passed_on(x: Exchange, end: End) -> tuple[Fault, str] | None:
    """Fault and code of an error of the upstream that the client was given.

    Codes are a closed set: a status that HTTP does not know is told by its class.
    """
    if end.kind != "complete":
        return None
    status = x.upstream_status
    if status < 400:
        return ("upstream", "upstream_error_event") if x.finish == "error" else None
    if x.status < 400:
        # Another answer was at hand.
        return None
    is_clients = status in _ASKED_WRONG or (x.lends_key and status in _KEYED)
    code = _CODES.get(status) or f"upstream_{'4' if status < 500 else '5'}xx"
    return ("client" if is_clients else "upstream"), code
