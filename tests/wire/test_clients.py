"""The official Python client, sync and async, against the running program."""

import asyncio

import openai
import pytest

from proxy.mock import start_mock
from tests.program import KEY, program
from tests.scripted import ROLE, WORDS, Scripted, streams


@pytest.fixture
async def running(tmp_path):
    mock, port = await start_mock("127.0.0.1", 0)
    async with program(tmp_path, port, first="5s", idle="5s") as made:
        yield made
    await mock.cleanup()


@pytest.fixture
async def client(running):
    async with openai.AsyncOpenAI(base_url=running.url, api_key=KEY, max_retries=0) as made:
        yield made


SAY = [{"role": "user", "content": "Say hello to the whole wide world"}]


async def test_chat_streamed_is_the_same_as_unstreamed(client):
    whole = await client.chat.completions.create(model="mock", messages=SAY, n=3)
    stream = await client.chat.completions.create(model="mock", messages=SAY, n=3, stream=True)
    texts = ["", "", ""]
    async for event in stream:
        assert event.usage is None
        for choice in event.choices:
            texts[choice.index] += choice.delta.content or ""

    assert texts == [c.message.content for c in whole.choices]
    assert whole.usage.total_tokens > 0


async def test_usage_comes_to_who_asks(client):
    stream = await client.chat.completions.create(
        model="mock", messages=SAY, stream=True, stream_options={"include_usage": True}
    )
    events = [event async for event in stream]

    assert events[-1].usage.completion_tokens > 0


async def test_tools_stream_their_arguments(client):
    tools = [
        {
            "type": "function",
            "function": {"name": "hello", "strict": True, "parameters": {"type": "object"}},
        }
    ]
    async with client.chat.completions.stream(
        model="gpt-4o-mini", messages=SAY, tools=tools
    ) as stream:
        final = await stream.get_final_completion()

    assert final.choices[0].message.tool_calls[0].function.arguments == '{"heard": "hello"}'
    assert final.choices[0].finish_reason == "tool_calls"


async def test_responses_both_ways(client):
    whole = await client.responses.create(model="mock", input="Hello")
    async with client.responses.stream(model="mock", input="Hello") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()

    assert final.output_text == whole.output_text
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"


async def test_the_other_endpoints(client):
    vectors = await client.embeddings.create(model="mock", input=["a", "b"])
    text = await client.audio.transcriptions.create(model="mock", file=("a.mp3", b"x" * 100_000))
    speech = await client.audio.speech.create(model="mock", voice="alloy", input="Hello")
    legacy = await client.completions.create(model="mock", prompt="Hello")
    image = await client.images.generate(model="mock", prompt="Hello")
    models = await client.models.list()

    assert len(vectors.data) == 2
    assert text.text == "100000 bytes of sound for mock"
    assert len(speech.content) > 1000
    assert legacy.choices[0].text
    assert image.data[0].b64_json
    assert [m.id for m in models.data] == ["mock"]


async def test_errors_are_raised_as_the_sdks_own(client, running):
    wrong = client.with_options(api_key="sk-wrong")
    with pytest.raises(openai.AuthenticationError, match="not one of this proxy's"):
        await wrong.models.list()
    with pytest.raises(openai.PermissionDeniedError):
        await client.files.list()
    with pytest.raises(openai.NotFoundError):
        await client.get("/nope", cast_to=object)
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="", messages=SAY)


async def test_a_truncated_stream_is_an_error_to_the_sdk(tmp_path):
    async with (
        Scripted([streams([ROLE, WORDS[0]])]) as upstream,
        program(tmp_path, upstream.port) as running,
        openai.AsyncOpenAI(base_url=running.url, api_key=KEY, max_retries=0) as client,
    ):
        stream = await client.chat.completions.create(model="m", messages=SAY, stream=True)
        with pytest.raises(openai.APIError, match="stopped before its last event"):
            async for _ in stream:
                pass


async def test_fifty_at_once_each_get_their_own_answer(client):
    async def one(i):
        words = [{"role": "user", "content": f"number {i}"}]
        stream = await client.chat.completions.create(model="mock-1ms", messages=words, stream=True)
        return "".join([e.choices[0].delta.content or "" async for e in stream])

    answers = await asyncio.gather(*(one(i) for i in range(50)))

    assert [a.endswith(f"number {i}") for i, a in enumerate(answers)] == [True] * 50


async def test_leaving_in_mid_stream_is_noticed(client, running):
    stream = await client.chat.completions.create(model="mock-50ms", messages=SAY, stream=True)
    async for _ in stream:
        break
    await stream.close()

    assert await running.settled() == {}


async def test_the_sync_client_works_from_a_thread(running):
    def talk():
        with openai.OpenAI(base_url=running.url, api_key=KEY) as client:
            stream = client.chat.completions.create(model="mock", messages=SAY, stream=True)
            return "".join(e.choices[0].delta.content or "" for e in stream)

    assert "hello" in await asyncio.to_thread(talk)
