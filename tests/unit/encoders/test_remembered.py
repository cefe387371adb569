import asyncio

from proxy.encoders.remembered import Remembered

LONG = 10.0


class FakeEmbedder:
    """Makes of a text the text, when it is let."""

    ident = "fake"

    def __init__(self, *, is_open=True):
        self.asked = []
        self.gate = asyncio.Event()
        self.works = True
        if is_open:
            self.gate.set()

    async def embed(self, texts, timeout_s):
        self.asked.append(list(texts))
        try:
            async with asyncio.timeout(timeout_s):
                await self.gate.wait()
        except TimeoutError:
            return None
        return [text.encode() for text in texts] if self.works else None


def remembered(most=512, **how):
    fake = FakeEmbedder(**how)
    return fake, Remembered(fake, b"k" * 32, most)


async def test_asks_only_for_what_it_does_not_know():
    fake, memory = remembered()

    assert await memory.embed(["a", "b"], LONG) == [b"a", b"b"]
    assert await memory.embed(["b", "c", "a", "c"], LONG) == [b"b", b"c", b"a", b"c"]
    assert await memory.embed(["c", "a"], LONG) == [b"c", b"a"]
    assert fake.asked == [["a", "b"], ["c"]]
    assert memory.ident == "fake"


async def test_what_one_scope_asked_is_not_known_to_another():
    fake, memory = remembered()
    for scope in ("t.a", "t.b", "t.a"):
        await memory.embed(["a"], LONG, scope)

    assert fake.asked == [["a"], ["a"]]


async def test_no_text_is_kept():
    _, memory = remembered()
    await memory.embed(["my secret question"], LONG)

    assert b"secret" not in b"".join(memory._kept)


async def test_forgets_what_was_used_longest_ago():
    fake, memory = remembered(most=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        await memory.embed([text], LONG)

    assert fake.asked == [["a"], ["b"], ["c"], ["b"]]


async def test_a_batch_larger_than_the_memory_is_answered_whole():
    _, memory = remembered(most=2)

    assert await memory.embed(["a", "b", "c"], LONG) == [b"a", b"b", b"c"]


async def test_who_asks_the_same_at_once_shares_one_call():
    fake, memory = remembered(is_open=False)
    calls = [asyncio.create_task(memory.embed(texts, LONG)) for texts in (["a"], ["a"], ["b", "a"])]
    await asyncio.sleep(0)
    fake.gate.set()

    assert await asyncio.gather(*calls) == [[b"a"], [b"a"], [b"b", b"a"]]
    assert fake.asked == [["a"], ["b"]]


async def test_the_first_may_leave_without_taking_the_others_along():
    fake, memory = remembered(is_open=False)
    first, second = (asyncio.create_task(memory.embed(["a"], LONG)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    fake.gate.set()

    assert first.cancelled()
    assert await second == [b"a"]
    assert fake.asked == [["a"]]


async def test_who_has_less_time_gets_nothing_and_the_call_goes_on():
    fake, memory = remembered(is_open=False)
    patient = asyncio.create_task(memory.embed(["a"], LONG))
    await asyncio.sleep(0)

    assert await memory.embed(["a"], 0.001) is None
    fake.gate.set()
    assert await patient == [b"a"]


async def test_nothing_is_remembered_of_a_failure():
    fake, memory = remembered()
    fake.works = False
    assert await memory.embed(["a"], LONG) is None

    fake.works = True
    assert await memory.embed(["a"], LONG) == [b"a"]
    assert memory._calls == {}


async def test_who_waits_for_a_call_that_is_ended_gets_nothing():
    class Ended(FakeEmbedder):
        async def embed(self, texts, timeout_s):
            raise asyncio.CancelledError

    assert await Remembered(Ended(), b"k" * 32).embed(["a"], LONG) is None
