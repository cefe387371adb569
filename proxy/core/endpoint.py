"""What a path of the OpenAI wire is like: which body it takes, how it streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BodyKind = Literal["json", "form", "opaque"]
Dialect = Literal["chat", "responses", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One entry of the path table.

    ``name`` is the metric label and the log's word for it.  ``body`` says
    what a request carries: ``json`` is read whole, because routing needs its
    model; ``form`` is multipart, of which at most the small text fields at
    its head are read; ``opaque`` streams through unread.  ``dialect`` is the
    form of its event stream, which decides how an error in mid-stream is
    written and which event is the last.  ``is_metered`` endpoints report token
    usage.  ``needs_model`` endpoints are refused without a model.  ``opt_in``
    endpoints carry ways around policy (models named inside files, sockets
    that outlive a check) and are closed unless the tenant lists them.
    """

    name: str
    methods: frozenset[str]
    body: BodyKind = "opaque"
    dialect: Dialect = "plain"
    is_metered: bool = False
    needs_model: bool = False
    opt_in: bool = False
    is_socket: bool = False
