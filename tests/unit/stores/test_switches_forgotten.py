"""What is off stays off, whatever the store forgets."""

import pytest

from proxy.core.switches import Switches
from proxy.stores.pipe import StoreDown
from proxy.stores.switches import SharedSwitches


class Sets:
    """A store with one set."""

    def __init__(self):
        self.words = set()
        self.is_up = True

    async def call(self, _key, command, _name, *words):
        if not self.is_up:
            raise StoreDown("gone")
        given = {word if isinstance(word, bytes) else word.encode() for word in words}
        if command == "SMEMBERS":
            return [*self.words]
        self.words = self.words | given if command == "SADD" else self.words - given
        return len(given)


@pytest.fixture
def store():
    return Sets()


def _replica(store):
    local = Switches()
    return local, SharedSwitches(store, local)


async def test_what_was_off_stays_off_when_another_is_switched_after_the_store_forgot(store):
    local, shared = _replica(store)
    await shared.put("tenant", "evil", is_off=True)
    store.words.clear()
    await shared.put("tenant", "other", is_off=True)
    await shared.refresh()

    assert local.words() == ["tenant:evil", "tenant:other"]


async def test_one_can_be_switched_on_after_the_store_forgot(store):
    local, shared = _replica(store)
    for name in ("evil", "other"):
        await shared.put("tenant", name, is_off=True)
    store.words.clear()
    await shared.put("tenant", "other", is_off=False)
    await shared.refresh()

    assert local.words() == ["tenant:evil"]


async def test_what_another_replica_switched_on_is_not_switched_off_again(store):
    one, at_one = _replica(store)
    two, at_two = _replica(store)
    await at_one.put("route", "chat", is_off=True)
    await at_two.refresh()
    await at_one.put("route", "chat", is_off=False)
    await at_two.put("tenant", "evil", is_off=True)
    await at_one.refresh()

    assert one.words() == two.words() == ["tenant:evil"]


async def test_nothing_is_switched_while_the_store_is_down(store):
    local, shared = _replica(store)
    store.is_up = False
    with pytest.raises(StoreDown):
        await shared.put("tenant", "evil", is_off=True)

    assert local.words() == []
