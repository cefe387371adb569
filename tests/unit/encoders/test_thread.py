import asyncio
import threading

import pytest

from proxy.encoders.thread import MAX_TEXTS, MAX_WAITING, InThread

LONG = 10.0


class SlowModel:
    """Makes of a text the text; goes on with each turn when it is let."""

    ident = "slow"

    def __init__(self, *, is_open=True):
        self.turns = []
        self.threads = set()
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.error = None
        if is_open:
            self.gate.set()

    def vectors(self, texts):
        self.turns.append(list(texts))
        self.threads.add(threading.current_thread().name)
        self.begun.set()
        assert self.gate.wait(LONG)
        if self.error is not None:
            raise self.error
        return [text.encode() for text in texts]


@pytest.fixture
def opened():
    made = []

    def open_one(**how):
        model = SlowModel(**how)
        made.append((model, InThread(model)))
        return made[-1]

    yield open_one
    for model, embedder in made:
        model.gate.set()
        embedder.close()


async def busy(opened):
    """An embedder whose model is at work on ``first``."""
    model, embedder = opened(is_open=False)
    first = asyncio.create_task(embedder.embed(["first"], LONG))
    await asyncio.to_thread(model.begun.wait, LONG)
    return model, embedder, first


async def test_gives_a_vector_a_text_in_their_order(opened):
    _, embedder = opened()

    assert await embedder.embed(["one", "two"], LONG) == [b"one", b"two"]
    assert await embedder.embed([], LONG) == []
    assert embedder.ident == "slow"


async def test_what_waits_goes_together_but_never_too_much_of_it(opened):
    model, embedder, first = await busy(opened)
    texts = [str(i) for i in range(MAX_TEXTS + 1)]
    more = [asyncio.create_task(embedder.embed([text], LONG)) for text in (*texts, "x" * 5000, "y")]
    await asyncio.sleep(0)
    model.gate.set()
    await asyncio.gather(first, *more)

    assert model.turns == [["first"], texts[:MAX_TEXTS], [texts[-1], "x" * 5000], ["y"]]
    assert len(model.threads) == 1


async def test_what_is_late_is_not_computed(opened):
    model, embedder, first = await busy(opened)

    assert await embedder.embed(["late"], 0.001) is None
    model.gate.set()
    assert await first == [b"first"]
    assert await embedder.embed(["next"], LONG) == [b"next"]
    assert model.turns == [["first"], ["next"]]


async def test_what_nobody_waits_for_any_more_is_not_computed(opened):
    model, embedder, first = await busy(opened)
    left = asyncio.create_task(embedder.embed(["left"], LONG))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    model.gate.set()
    await first

    assert left.cancelled()
    assert await embedder.embed(["next"], LONG) == [b"next"]
    assert model.turns == [["first"], ["next"]]


async def test_only_so_many_may_wait(opened):
    model, embedder, first = await busy(opened)
    many = asyncio.create_task(embedder.embed(["m"] * MAX_WAITING, LONG))
    await asyncio.sleep(0)

    assert await embedder.embed(["one more"], LONG) is None
    model.gate.set()
    assert await many == [b"m"] * MAX_WAITING
    assert await first == [b"first"]


async def test_a_model_that_fails_gives_nothing_and_is_asked_again(opened, caplog):
    model, embedder = opened()
    model.error = RuntimeError("cannot read 'my secret question'")

    assert await embedder.embed(["my secret question"], LONG) is None
    assert await embedder.embed(["another"], LONG) is None
    model.error = None
    assert await embedder.embed(["a third"], LONG) == [b"a third"]
    assert [record.getMessage() for record in caplog.records] == [
        "the encoder failed: RuntimeError"
    ]


async def test_who_waits_when_it_is_closed_gets_nothing(opened):
    model, embedder, first = await busy(opened)
    waiting = asyncio.create_task(embedder.embed(["waiting"], LONG))
    await asyncio.sleep(0)
    embedder.close()

    assert await waiting is None
    assert await embedder.embed(["later"], LONG) is None
    model.gate.set()
    assert await first == [b"first"]
    assert model.turns == [["first"]]
