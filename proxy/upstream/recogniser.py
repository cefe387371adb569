"""Asks a service for what no pattern finds: Presidio's ``/analyze``."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout

from proxy.core.errors import DetectorUnavailable

GAP: Final = "\n\n"
"""Between two texts, so that nothing is found across them."""

KINDS: Final = {"PERSON": "person", "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone",
                "CREDIT_CARD": "credit_card", "IBAN_CODE": "iban", "US_SSN": "us_ssn",
                "IP_ADDRESS": "ip_address", "CRYPTO": "crypto_address"}  # fmt: skip
"""Presidio's names that we have names for; others are taken in small letters."""


class Presidio:
    """The ``Recogniser`` of one service.

    All texts of a request go in one question; ``timeout_s`` bounds the answer.
    A session is opened for each: it costs 0.3 ms beside the ten or more of the
    analysis, and leaves nothing to close when the configuration changes.
    """

    def __init__(
        self,
        url: str,
        entities: Sequence[str],
        *,
        language: str,
        score: float,
        timeout_s: float,
    ) -> None:
        self._url = url
        self._entities = frozenset(entities)
        self._question = {
            "language": language, "entities": list(entities), "score_threshold": score,
        }  # fmt: skip
        self._timeout = ClientTimeout(total=timeout_s)

    async def find(self, texts: Sequence[str]) -> list[list[tuple[int, int, str]]]:
        """What it found in each text."""
        question = orjson.dumps({"text": GAP.join(texts), **self._question})
        headers = {"content-type": "application/json"}
        try:
            async with (
                ClientSession(timeout=self._timeout) as session,
                session.post(
                    self._url, data=question, headers=headers, allow_redirects=False
                ) as answer,
            ):
                if answer.status != 200:
                    raise DetectorUnavailable(f"the detector answered {answer.status}")
                found = orjson.loads(await answer.read())
        except (ClientError, TimeoutError, orjson.JSONDecodeError) as exc:
            raise DetectorUnavailable("the detector does not answer") from exc
        return _by_text(texts, found, self._entities)


def _by_text(
    texts: Sequence[str], found: Any, entities: frozenset[str]
) -> list[list[tuple[int, int, str]]]:
    """Spans of the joined text as spans of each; only of what was asked for."""
    starts = list(accumulate((len(text) + len(GAP) for text in texts), initial=0))[:-1]
    spans: list[list[tuple[int, int, str]]] = [[] for _ in texts]
    if not isinstance(found, list):
        raise DetectorUnavailable("the detector's answer cannot be read")
    for one in found:
        try:
            start, end, kind = int(one["start"]), int(one["end"]), str(one["entity_type"])
        except (KeyError, TypeError, ValueError) as exc:
            raise DetectorUnavailable("the detector's answer cannot be read") from exc
        i = bisect_right(starts, start) - 1
        if i >= 0 and kind in entities:
            spans[i].append((start - starts[i], end - starts[i], KINDS.get(kind, kind.lower())))
    return spans
