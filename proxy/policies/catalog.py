"""``/v1/models``: what the tenant may use, not what the upstream has."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from proxy.core.errors import UnknownModel
from proxy.core.exchange import Exchange, Head
from proxy.core.frame import Frame
from proxy.core.policy import Answer, Policy


class CatalogPolicy(Policy):
    """Answers the list of models, and one model, from the configuration.

    ``models`` maps a tenant to the names it may use, aliases included.  A
    model that a pattern allows but no name spells out is not listed, though
    asking for it by name works.  A tenant that is not in it may use whatever
    the upstream has, so the upstream is asked.
    """

    name = "catalog"

    def __init__(self, models: Mapping[str, tuple[str, ...]], created: int) -> None:
        self._models = models
        self._created = created

    async def on_request(self, x: Exchange) -> Answer | None:
        """Answer ``GET /v1/models`` and ``GET /v1/models/{name}``."""
        if x.endpoint.name not in ("models", "model") or x.method not in ("GET", "HEAD"):
            return None
        names = self._models.get(x.tenant)
        if names is None:
            return None
        if x.endpoint.name == "models":
            return _json({"object": "list", "data": [self._entry(name) for name in names]})
        name = x.path.removeprefix("/v1/models/")
        if name not in names:
            raise UnknownModel(f"the model {name[:100]!r} does not exist here", param="model")
        return _json(self._entry(name))

    def _entry(self, name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": self._created, "owned_by": "sidestream"}


def _json(value: object) -> Answer:
    data = orjson.dumps(value)
    headers = [(b"content-type", b"application/json")]
    return Answer(Head(200, headers, b"application/json", len(data)), (Frame(data, data),))
