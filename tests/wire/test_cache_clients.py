"""The official client makes the same of a hit as of the answer it came from."""

import openai
import pytest

from proxy.mock import start_mock
from tests.program import KEY, program

ROUTES = '  - {name: c, match: {model: "*"}, targets: [{upstream: main}], cache: answers}'
SAY = [{"role": "user", "content": "Say hello to the whole wide world"}]
TOOLS = [
    {
        "type": "function",
        "function": {"name": "hello", "strict": True, "parameters": {"type": "object"}},
    }
]
COLD = {"model": "gpt-4o-mini", "temperature": 0}


@pytest.fixture
async def client(tmp_path):
    mock, port = await start_mock("127.0.0.1", 0)
    async with (
        program(
            tmp_path, port, first="5s", idle="5s", routes=ROUTES, more="cache: {answers: {}}"
        ) as running,
        openai.AsyncOpenAI(base_url=running.url, api_key=KEY, max_retries=0) as made,
    ):
        yield made
    await mock.cleanup()


def plain(model, *ids):
    """Without ids, which are always new, and what only accumulating leaves."""
    return model.model_dump(exclude={"id", *ids}, exclude_none=True)


async def chat(client, **more):
    async with client.chat.completions.stream(messages=SAY, **COLD, **more) as stream:
        final = await stream.get_final_completion()
        return stream._response.headers["x-sidestream-cache"], plain(final)


CHATS = [
    {},
    {"n": 3},
    {"stream_options": {"include_usage": True}},
    {"tools": TOOLS},
    {"logprobs": True, "top_logprobs": 2},
    {"response_format": {"type": "json_object"}},
]


@pytest.mark.parametrize("more", CHATS, ids=str)
async def test_chat_streams(client, more):
    first, second = [await chat(client, **more) for _ in range(2)]

    assert (first[0], second[0]) == ("miss", "hit")
    assert first[1] == second[1]


@pytest.mark.parametrize("more", CHATS, ids=str)
async def test_a_chat_stream_out_of_json(client, more):
    options = {k: v for k, v in more.items() if k != "stream_options"}
    raw = await client.chat.completions.with_raw_response.create(messages=SAY, **COLD, **options)
    streamed = await chat(client, **more)
    whole = raw.parse().model_dump(exclude_none=True)["choices"]

    assert (raw.headers["x-sidestream-cache"], streamed[0]) == ("miss", "hit")
    for said, made in zip(whole, streamed[1]["choices"], strict=True):
        assert made["finish_reason"] == said["finish_reason"]
        assert made["message"].get("content") == said["message"].get("content")
        assert [c["function"]["arguments"] for c in made["message"].get("tool_calls", [])] == [
            c["function"]["arguments"] for c in said["message"].get("tool_calls", [])
        ]


@pytest.mark.parametrize("more", CHATS, ids=str)
async def test_json_out_of_a_chat_stream(client, more):
    streamed = await chat(client, **more)
    options = {k: v for k, v in more.items() if k != "stream_options"}
    raw = await client.chat.completions.with_raw_response.create(messages=SAY, **COLD, **options)
    again = await client.chat.completions.with_raw_response.create(messages=SAY, **COLD, **options)

    assert (streamed[0], raw.headers["x-sidestream-cache"]) == ("miss", "hit")
    assert plain(raw.parse()) == plain(again.parse())
    assert raw.parse().id != again.parse().id
    assert raw.parse().usage.total_tokens > 0


async def test_completions(client):
    async def text():
        raw = await client.completions.with_raw_response.create(
            prompt="Once upon a time", stream=True, **COLD
        )
        return raw.headers["x-sidestream-cache"], [
            [c.model_dump() for c in event.choices] async for event in raw.parse()
        ]

    first, second = await text(), await text()

    assert (first[0], second[0]) == ("miss", "hit")
    assert first[1] == second[1]


ASKED = [
    {},
    {"tools": [{"type": "function", "name": "hello", "parameters": {}, "strict": False}]},
]


def put_out(final):
    """What a response puts out, without ids and what only accumulating adds."""
    drop = {"id", "parsed", "parsed_arguments"}
    items = [item.model_dump(exclude_none=True) for item in final.output]
    return [{k: v for k, v in item.items() if k not in drop} for item in items]


@pytest.mark.parametrize("more", ASKED, ids=["text", "tool"])
async def test_responses_in_every_order(client, more):
    asked = {"input": "Say hello", "store": False, **COLD, **more}

    async def streamed():
        async with client.responses.stream(**asked) as stream:
            events = [event.type async for event in stream]
            return events, put_out(await stream.get_final_response())

    first = await streamed()
    second = await streamed()
    raw = await client.responses.with_raw_response.create(**asked)

    assert first == second
    assert first[1][0]["type"] == ("function_call" if more else "message")
    assert raw.headers["x-sidestream-cache"] == "hit"
    assert put_out(raw.parse()) == first[1]
    assert raw.parse().status == "completed"


@pytest.mark.parametrize("more", ASKED, ids=["text", "tool"])
async def test_responses_as_events_out_of_json(client, more):
    asked = {"input": "Say hello", "store": False, **COLD, **more}
    raw = await client.responses.with_raw_response.create(**asked)
    async with client.responses.stream(**asked) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()

    assert raw.headers["x-sidestream-cache"] == "miss"
    assert final.output_text == raw.parse().output_text
    if more:
        arguments = "response.function_call_arguments"
        pieces = [e.delta for e in events if e.type == f"{arguments}.delta"]
        assert "".join(pieces) == raw.parse().output[0].arguments != ""


async def test_responses_that_the_provider_keeps_are_not_ours_to_keep(client):
    for _ in range(2):
        raw = await client.responses.with_raw_response.create(input="Say hello", **COLD)
        assert raw.headers["x-sidestream-cache"] == "bypass"
        assert "detail=store" in raw.headers["cache-status"]
