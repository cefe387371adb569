"""What the pseudonyms of stored conversations stand for.

A provider that keeps a conversation keeps our pseudonyms in it, and a later
answer may say one that its own request never did.  So what an exchange
learned is kept under the ids by which the conversation goes on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

MAX_CONVERSATIONS: Final = 10_000
MAX_CHARS: Final = 16_000_000
"""Characters of all pseudonyms and originals; the conversations that were
longest not gone on with are forgotten first."""


class Conversations:
    """Originals by tenant and id, in this process only."""

    def __init__(
        self, max_conversations: int = MAX_CONVERSATIONS, max_chars: int = MAX_CHARS
    ) -> None:
        self._max_conversations = max_conversations
        self._max_chars = max_chars
        self._kept: OrderedDict[tuple[str, str], dict[str, str]] = OrderedDict()
        self._chars = 0

    def recall(self, tenant: str, ids: Iterable[str]) -> dict[str, str]:
        """What is known of conversations of ``tenant`` by their ids."""
        found: dict[str, str] = {}
        for one in ids:
            kept = self._kept.get((tenant, one))
            if kept is not None:
                self._kept.move_to_end((tenant, one))
                found |= kept
        return found

    def keep(self, tenant: str, ids: Iterable[str], originals: Mapping[str, str]) -> None:
        """Remember ``originals`` under every one of ``ids``."""
        for one in ids:
            self._forget((tenant, one))
            kept = dict(originals)
            self._kept[tenant, one] = kept
            self._chars += _size(kept)
        while self._chars > self._max_chars or len(self._kept) > self._max_conversations:
            self._forget(next(iter(self._kept)))

    def erase(self, tenant: str) -> None:
        """Forget what is known of a tenant."""
        for key in [key for key in self._kept if key[0] == tenant]:
            self._forget(key)

    def _forget(self, key: tuple[str, str]) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._chars -= _size(kept)


def _size(kept: Mapping[str, str]) -> int:
    return sum(len(name) + len(original) for name, original in kept.items())
