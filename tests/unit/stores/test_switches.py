"""Switches that replicas share, and a store that has lost its memory."""

from proxy.core.switches import Switches
from proxy.stores.pipe import StoreDown
from proxy.stores.switches import SharedSwitches


class Store:
    """One set."""

    def __init__(self):
        self.words = set()
        self.is_down = False

    async def call(self, key, command, _, *words):
        if self.is_down:
            raise StoreDown("down")
        if command == "SMEMBERS":
            return list(self.words)
        given = {word.encode() if isinstance(word, str) else word for word in words}
        self.words = self.words | given if command == "SADD" else self.words - given
        return len(given)


async def test_a_replica_learns_what_another_has_switched():
    store, here, there = Store(), Switches(), Switches()
    await SharedSwitches(store, here).put("tenant", "acme", is_off=True)
    other = SharedSwitches(store, there)
    await other.refresh()
    assert there.words() == here.words() != []

    await other.put("tenant", "acme", is_off=False)
    await SharedSwitches(store, here).refresh()
    assert not list(here.words())


async def test_a_store_that_is_empty_again_is_told_and_nothing_is_switched_on():
    store, local = Store(), Switches()
    shared = SharedSwitches(store, local)
    await shared.put("tenant", "acme", is_off=True)
    before = set(store.words)
    store.words = set()
    await shared.refresh()

    assert list(local.words()) == ["tenant:acme"]
    assert store.words == before


async def test_while_the_store_is_down_everybody_keeps_what_they_know():
    store, local = Store(), Switches()
    shared = SharedSwitches(store, local)
    await shared.put("tenant", "acme", is_off=True)
    store.is_down = True
    await shared.refresh()

    assert list(local.words()) == ["tenant:acme"]
