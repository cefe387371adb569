"""The path table: every path that is forwarded, and what it is like.

A path is looked up as it was sent.  Anything that another reader might take
for a different path (dots, doubled or encoded slashes, controls) finds
nothing, because a table that can be walked around is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache
from typing import Final

from proxy.core.endpoint import Endpoint

_POST: Final = frozenset({"POST"})
_GET: Final = frozenset({"GET", "HEAD"})
_DELETE: Final = frozenset({"DELETE"})
_ANY: Final = _POST | _GET | _DELETE


def _json(name: str, **more: object) -> Endpoint:
    return Endpoint(name=name, methods=_POST, body="json", **more)  # type: ignore[arg-type]


def _text(name: str, dialect: str = "chat") -> Endpoint:
    return _json(name, dialect=dialect, is_metered=True, needs_model=True)


def _form(name: str) -> Endpoint:
    return Endpoint(name=name, methods=_POST, body="form", is_metered=True, needs_model=True)


EXACT: Final[dict[str, Endpoint]] = {
    "/v1/chat/completions": _text("chat"),
    "/v1/completions": _text("completions"),
    "/v1/responses": Endpoint(
        name="responses", methods=_POST, body="json", dialect="responses", is_metered=True
    ),
    "/v1/responses/compact": _json("responses_compact", is_metered=True),
    "/v1/responses/input_tokens": _json("responses_input_tokens"),
    "/v1/embeddings": _text("embeddings", "plain"),
    "/v1/moderations": _json("moderations", is_metered=True),
    "/v1/models": Endpoint(name="models", methods=_GET),
    "/v1/audio/speech": _json("speech", needs_model=True),
    "/v1/audio/transcriptions": _form("transcriptions"),
    "/v1/audio/translations": _form("translations"),
    "/v1/images/generations": _json("images", is_metered=True),
    "/v1/images/edits": Endpoint(name="images_edits", methods=_POST, body="form", is_metered=True),
    "/v1/images/variations": Endpoint(
        name="images_variations", methods=_POST, body="form", is_metered=True
    ),
    "/v1/rerank": _text("rerank", "plain"),
    "/rerank": _text("rerank", "plain"),
    "/v2/rerank": _text("rerank", "plain"),
    "/v1/score": _text("score", "plain"),
    "/score": _text("score", "plain"),
    "/tokenize": _json("tokenize"),
    "/detokenize": _json("detokenize"),
    "/pooling": _json("pooling", is_metered=True),
    "/classify": _json("classify", is_metered=True),
    "/v1/messages": _text("messages", "plain"),
    "/v1/messages/count_tokens": _json("messages_count_tokens"),
    "/v1/conversations": Endpoint(name="conversations", methods=_POST, body="json"),
    "/v1/realtime": Endpoint(name="realtime", methods=_GET, is_socket=True, opt_in=True),
    "/v1/realtime/client_secrets": _json("realtime_secrets", opt_in=True),
    "/v1/realtime/calls": Endpoint(name="realtime_calls", methods=_POST, opt_in=True),
    "/v1/realtime/sessions": _json("realtime_secrets", opt_in=True),
}

_FAMILIES: Final[tuple[tuple[str, Endpoint], ...]] = (
    ("models", Endpoint(name="model", methods=_GET)),
    (
        "responses",
        Endpoint(name="response", methods=_ANY, body="opaque", dialect="responses", opt_in=True),
    ),
    ("conversations", Endpoint(name="conversation", methods=_ANY, body="json", opt_in=True)),
    ("chat/completions", Endpoint(name="stored_chat", methods=_ANY, opt_in=True)),
    ("files", Endpoint(name="files", methods=_ANY, opt_in=True)),
    ("uploads", Endpoint(name="uploads", methods=_ANY, opt_in=True)),
    ("batches", Endpoint(name="batches", methods=_ANY, opt_in=True)),
    ("fine_tuning", Endpoint(name="fine_tuning", methods=_ANY, opt_in=True)),
    ("vector_stores", Endpoint(name="vector_stores", methods=_ANY, opt_in=True)),
    ("evals", Endpoint(name="evals", methods=_ANY, opt_in=True)),
    ("containers", Endpoint(name="containers", methods=_ANY, opt_in=True)),
    ("videos", Endpoint(name="videos", methods=_ANY, opt_in=True)),
    ("realtime/calls", Endpoint(name="realtime_calls", methods=_POST, opt_in=True)),
    ("organization", Endpoint(name="organization", methods=_ANY, opt_in=True)),
)
"""Paths with ids in them.  They reach objects that the provider keeps for a
whole account, so all but models are closed until a tenant's ``paths`` opens them."""

_SAFE: Final = re.compile(r"/[A-Za-z0-9_\-./:@%+,=~]*")
_DEPLOYMENT: Final = re.compile(r"/openai/deployments/[^/]+(?=/)")
MAX_PATH: Final = 1024


@lru_cache(maxsize=4096)
def find(path: str) -> tuple[str, Endpoint] | None:
    """The path in its own spelling and its endpoint; ``None`` if there is none.

    ``/v1`` may be left out, as SDKs are configured both ways, and Azure's
    prefixes are taken off.  Remembers the last few thousand paths.
    """
    if len(path) > MAX_PATH or not _SAFE.fullmatch(path) or _is_devious(path):
        return None
    if path.startswith("/openai/"):
        path = _DEPLOYMENT.sub("", path, count=1).removeprefix("/openai")
    path = path.rstrip("/")
    for candidate in (path, f"/v1{path}"):
        endpoint = EXACT.get(candidate)
        if endpoint is not None:
            return candidate, endpoint
    if not path.startswith("/v1/"):
        path = f"/v1{path}"
    rest = path[4:]
    for prefix, endpoint in _FAMILIES:
        if rest == prefix or rest.startswith(prefix + "/"):
            return path, endpoint
    return None


def _is_devious(path: str) -> bool:
    """Whether some other reader would see another path here."""
    lower = path.lower()
    return (
        "//" in path
        or any(segment in (".", "..") for segment in path.split("/"))
        or any(code in lower for code in ("%2f", "%5c", "%2e", "%00", "%25", "%0a", "%0d"))
    )


def path_filter(patterns: Iterable[str]) -> re.Pattern[str]:
    """One pattern out of the globs of a tenant's ``paths``."""
    return re.compile("|".join(translate(pattern) for pattern in patterns) or r"(?!)")
