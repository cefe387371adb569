"""What ledgers need of a server, or of several that act as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from proxy.stores.pipe import Done, Word, into, value_of
from proxy.stores.scripts import Script


class Store(Protocol):
    """Runs scripts on whichever server holds a key."""

    @property
    def is_up(self) -> bool:
        """Whether it can be reached just now."""
        ...

    def run(self, script: Script, key: bytes, args: tuple[Word, ...], done: Done) -> None:
        """Run ``script`` on ``key``; ``done`` gets its reply or a ``StoreDown``.

        It may be called from in here, when no connection stands.
        """
        ...

    def on_up(self, told: Callable[[], None]) -> None:
        """Call ``told`` whenever the store can be reached again."""
        ...

    def start(self) -> None:
        """Begin to connect."""
        ...

    async def call(self, key: bytes, *words: Word) -> Any:
        """One plain command on ``key``'s server.  Raises ``StoreDown``."""
        ...

    async def close(self) -> None:
        """Let go."""
        ...


async def ask(store: Store, script: Script, key: bytes, args: tuple[Word, ...]) -> Any:
    """Run a script and wait: what ``done`` would get, so errors are returned too."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    store.run(script, key, args, into(future))
    return await future


async def value(store: Store | None, script: Script, key: bytes, args: tuple[Word, ...]) -> Any:
    """What a script answers.  Raises ``StoreDown``; an error reply is one too."""
    assert store is not None
    return value_of(await ask(store, script, key, args))
