"""What a client that leaves too early must not leave behind."""

import asyncio

import pytest

from proxy.core.cache import Key
from proxy.core.fills import Fills, Flights
from proxy.policies.idempotency import IdempotencyPolicy, KeyReused, _is_same
from tests.kit import FakeClock, exchange


class Slow:
    """A vault whose store does not answer."""

    def __init__(self):
        self.released = []
        self.asked = asyncio.Event()

    def key(self, scope, material):
        return Key(material)

    def near(self, scope, key):
        return None

    async def far(self, scope, keys, *, lease_s):
        self.asked.set()
        await asyncio.Event().wait()

    def era(self, scope):
        return b""

    def release(self, scope, key):
        self.released.append((scope, key))


async def test_who_leaves_while_the_store_is_asked_gives_the_lease_back():
    vault = Slow()
    policy = IdempotencyPolicy(
        vault, Fills(Flights(), None, FakeClock()), FakeClock(), {"": "mark"}
    )
    x = exchange(headers={"idempotency-key": "k"})
    x.body, x.tenant = {"model": "m"}, "acme"
    asked = asyncio.create_task(policy.on_request(x))
    await vault.asked.wait()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)

    assert [scope for scope, _ in vault.released] == ["t.acme"]


@pytest.mark.parametrize(
    ("ident", "asked"), [("d k1", ["d k1"]), ("e k1", ["d k1", "e k1"]), ("d ", ["d "])]
)
def test_the_same_request_is_known(ident, asked):
    assert _is_same(ident, asked)


def test_with_pseudonyms_under_another_key_nobody_can_say():
    assert not _is_same("d k1", ["e k2"])


@pytest.mark.parametrize(("ident", "asked"), [("d k1", ["e k1"]), ("d ", ["e "]), ("d ", ["e k"])])
def test_another_request_is_refused(ident, asked):
    with pytest.raises(KeyReused):
        _is_same(ident, asked)
