import asyncio
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.observe.queues import Queues
from proxy.rules.patience import IN_A_ROW, REST_S
from proxy.upstream.deadlines import Deadlines
from proxy.upstream.embedder import MAX_EACH, UpstreamEmbedder, unit, vectors_of
from proxy.upstream.fleet import Fleet, Spec
from proxy.upstream.providers import PROVIDERS
from tests.kit import FakeClock
from tests.scripted import Scripted, json_answer, says, then

LONG = 10.0


def item(values, index=0):
    return {"object": "embedding", "index": index, "embedding": values}


def answer(*items):
    return {"object": "list", "data": list(items), "model": "m"}


GOOD = answer(item([3.0, 4.0]))


def numbers(vector):
    return struct.unpack(f"<{len(vector) // 4}f", vector)


class Asking:
    """An embedder on a scripted upstream."""

    def __init__(self, *scripts, kind="generic", path="/v1", model="m"):
        self.scripts, self.kind, self.path, self.model = scripts, kind, path, model
        self.clock = FakeClock()

    async def __aenter__(self):
        self.upstream = await Scripted(list(self.scripts)).__aenter__()
        self.fleet = Fleet(asyncio.get_running_loop(), self.clock.now, Queues(list))
        spec = Spec(
            name="up", provider=PROVIDERS[self.kind], key="sk-up", headers=(("x-team", "a"),),
            urls=(f"http://127.0.0.1:{self.upstream.port}{self.path}",),
            deadlines=Deadlines(LONG, LONG, LONG), max_duration=LONG, connect_s=LONG,
            asks_usage=False,
        )  # fmt: skip
        made = self.fleet.upstreams({"up": spec})["up"]
        self.fleet.adopt()
        self.pool = made.endpoints[0].pool
        self.embedder = UpstreamEmbedder(made, self.model, self.clock.now)
        return self

    async def __aexit__(self, *exc):
        assert self.pool.in_flight == 0
        self.fleet.close()
        await self.upstream.__aexit__(*exc)


async def test_asks_for_numbers_with_the_key_over_the_upstreams_own_connections():
    async with Asking(says(json_answer(GOOD))) as asking:
        first = await asking.embedder.embed(["A question"], LONG)
        again = await asking.embedder.embed(["A question"], LONG)
        seen = asking.upstream.requests[0]

        assert numbers(first[0]) == pytest.approx([0.6, 0.8])
        assert again == first
        assert asking.upstream.connections == 1
        assert asking.embedder.ident == "up/m"
        assert seen.line == "POST /v1/embeddings HTTP/1.1"
        assert seen.json == {"model": "m", "input": ["A question"], "encoding_format": "float"}
        assert seen.headers["authorization"] == "Bearer sk-up"
        assert seen.headers["x-team"] == "a"


async def test_azure_has_a_path_of_its_own():
    script = says(json_answer(GOOD))
    async with Asking(script, kind="azure", path="", model="small") as asking:
        assert await asking.embedder.embed(["a"], LONG) is not None

        line = asking.upstream.requests[0].line
        assert line.startswith("POST /openai/deployments/small/embeddings?api-version=")


async def test_vectors_come_in_the_order_of_the_texts():
    mixed = answer(item([0.0, 2.0], 1), item([5.0, 0.0], 0))
    async with Asking(says(json_answer(mixed))) as asking:
        made = await asking.embedder.embed(["a", "b"], LONG)

    assert [numbers(one) for one in made] == [(1.0, 0.0), (0.0, 1.0)]


async def test_nothing_is_asked_about_no_text():
    async with Asking(says(json_answer(GOOD))) as asking:
        assert await asking.embedder.embed([], LONG) == []
        assert asking.upstream.requests == []


FAULTS = {
    "500": says(json_answer({"error": {"message": "no"}}, 500)),
    "401": says(json_answer({"error": {"message": "no"}}, 401)),
    "no JSON": says(json_answer(b"<html>")),
    "no object": says(json_answer([1])),
    "a reset": then(end="reset"),
    "an end before the answer": then(end="close"),
    "an end within it": then(json_answer(GOOD)[:-9], end="close"),
    "no HTTP": then(b"what?\r\n\r\n", end="close"),
    "an endless answer": then(json_answer(b" " * (5 << 20)), end="close"),
}


@pytest.mark.parametrize("script", FAULTS.values(), ids=FAULTS.keys())
async def test_a_fault_of_the_upstream_is_no_vector_and_no_exception(script):
    async with Asking(script, says(json_answer(GOOD))) as asking:
        assert await asking.embedder.embed(["a"], LONG) is None
        assert await asking.embedder.embed(["a"], LONG) is not None


async def test_nobody_listening_is_no_vector():
    asking = Asking(says(json_answer(GOOD)))
    async with asking:
        await asking.upstream.__aexit__()

        assert await asking.embedder.embed(["a"], LONG) is None


@pytest.mark.parametrize("sent", [b"", json_answer(GOOD)[:40], json_answer(GOOD)[:-9]])
async def test_what_is_late_is_let_go_with_its_connection(sent):
    async with Asking(then(sent, end="hang"), says(json_answer(GOOD))) as asking:
        assert await asking.embedder.embed(["a"], 0.05) is None

        async with asyncio.timeout(LONG):
            await asking.upstream.peer_left.wait()
        assert asking.pool.idle == 0
        assert await asking.embedder.embed(["a"], LONG) is not None


async def test_a_client_that_leaves_takes_the_call_along():
    async with Asking(then(end="hang")) as asking:
        call = asyncio.create_task(asking.embedder.embed(["a"], LONG))
        while not asking.upstream.requests:
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

        assert call.cancelled()
        assert asking.pool.in_flight == 0


async def test_is_left_alone_for_a_while_after_failures(caplog):
    bad, good = FAULTS["500"], says(json_answer(GOOD))
    async with Asking(*[bad] * (IN_A_ROW + 1), good) as asking:
        for _ in range(IN_A_ROW + 3):
            assert await asking.embedder.embed(["my secret question"], LONG) is None
        assert len(asking.upstream.requests) == IN_A_ROW

        asking.clock.advance(REST_S)
        assert await asking.embedder.embed(["a"], LONG) is None
        assert await asking.embedder.embed(["a"], LONG) is None
        assert len(asking.upstream.requests) == IN_A_ROW + 1

        asking.clock.advance(REST_S)
        assert await asking.embedder.embed(["a"], LONG) is not None
        assert await asking.embedder.embed(["a"], LONG) is not None
    said = [r.getMessage() for r in caplog.records if r.name.startswith("sidestream")]
    assert said == ["up gives no embeddings of m"]


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_texts_that_are_refused_take_it_from_nobody(status):
    refused = says(json_answer({"error": {"message": "no"}}, status))
    async with Asking(*[refused] * (IN_A_ROW + 1), says(json_answer(GOOD))) as asking:
        for _ in range(IN_A_ROW + 1):
            assert await asking.embedder.embed(["bad"], LONG) is None
        assert await asking.embedder.embed(["a"], LONG) is not None


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 503])
async def test_refusals_of_everything_count(status):
    refused = says(json_answer({"error": {"message": "no"}}, status))
    async with Asking(*[refused] * (IN_A_ROW + 1)) as asking:
        for _ in range(IN_A_ROW + 1):
            assert await asking.embedder.embed(["a"], LONG) is None
        assert len(asking.upstream.requests) == IN_A_ROW


async def test_no_more_is_read_than_so_many_numbers_take():
    long = says(json_answer({**GOOD, "more": "x" * MAX_EACH}))
    two = answer(item([1.0, 0.0]), item([0.0, 1.0], 1))
    async with Asking(long, says(json_answer({**two, "more": "x" * MAX_EACH}))) as asking:
        assert await asking.embedder.embed(["a"], LONG) is None
        assert await asking.embedder.embed(["a", "b"], LONG) is not None


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"data": None},
        {"data": {}},
        answer(),
        answer(item([1.0]), item([1.0])),
        answer(item([1.0], 0), item([1.0, 0.0], 1)),
        answer(item([1.0], 0), item([1.0], 2)),
        answer(item([1.0], -1), item([1.0], 0)),
        answer(item([1.0], [0]), item([1.0], 1)),
        answer(item([1.0], index=True), item([1.0], 0)),
        answer(item([]), item([], 1)),
        answer(item([0.0, 0.0]), item([1.0, 0.0], 1)),
        answer(item(["1"]), item([1.0], 1)),
        answer(item([None]), item([1.0], 1)),
        answer(item("AACAPw=="), item([1.0], 1)),
        answer([1.0], item([1.0], 1)),
        answer({"embedding": [[1.0]]}, item([1.0], 1)),
    ],
)
def test_what_are_no_two_vectors_is_refused(bad):
    assert vectors_of(bad, 2) is None


def test_servers_that_number_nothing_answer_in_order():
    made = vectors_of({"data": [{"embedding": [2]}, {"embedding": [-2]}]}, 2)

    assert [numbers(one) for one in made] == [(1.0,), (-1.0,)]


wild = st.one_of(st.floats(), st.integers(), st.text(), st.none(), st.booleans())


@given(st.lists(wild, max_size=20))
def test_a_vector_has_unit_length_or_is_none(values):
    made = unit(values)

    if made is not None:
        assert len(made) == 4 * len(values)
        assert math.hypot(*numbers(made)) == pytest.approx(1, abs=1e-5)


@given(st.recursive(wild, lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["data", "embedding", "index"]), inner)))  # fmt: skip
def test_no_answer_whatever_raises(found):
    vectors_of(found if isinstance(found, dict) else {"data": found}, 1)
