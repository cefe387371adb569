"""What is done through the program with the official Python client.

Each step is a function of ``World`` that returns a short word of what came;
an exception is a failure.
"""

import asyncio
import json
import time
import urllib.request
from dataclasses import dataclass

import openai

COUNT = [{"role": "user", "content": "Count from one to five in words."}]
STORY = [{"role": "user", "content": "Write a very long story about a river, with many chapters."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@dataclass
class World:
    """Where things are: the program, its key, and the model server behind it."""

    url: str
    key: str
    model: str
    busy: object  # () -> number of requests the model server works on
    in_flight: object  # () -> number of upstream connections the program has in use

    @property
    def client(self):
        return openai.OpenAI(base_url=self.url, api_key=self.key, max_retries=0, timeout=120)


def chat(w):
    r = w.client.chat.completions.create(model=w.model, messages=COUNT, max_tokens=16)
    assert r.usage.total_tokens > 0
    return r.choices[0].message.content


def raw_headers(w):
    r = w.client.chat.completions.with_raw_response.create(
        model=w.model, messages=COUNT, max_tokens=4
    )
    kept = {k: v for k, v in r.headers.items() if k.startswith("x-sidestream")}
    assert kept["x-sidestream-route"] == "chat"
    return ", ".join(f"{k[13:]}={v}" for k, v in kept.items() if k != "x-sidestream-id")


def chat_streamed(w):
    text, usages = "", 0
    for e in w.client.chat.completions.create(
        model=w.model, messages=COUNT, max_tokens=16, stream=True
    ):
        text += (e.choices[0].delta.content or "") if e.choices else ""
        usages += e.usage is not None
    assert text
    assert usages == 0, "a usage chunk nobody asked for"
    return text


def chat_streamed_with_usage(w):
    events = list(
        w.client.chat.completions.create(
            model=w.model, messages=COUNT, max_tokens=16, stream=True,
            stream_options={"include_usage": True},
        )
    )  # fmt: skip
    usage = [e.usage for e in events if e.usage][-1]
    return f"{len(events)} events, {usage.prompt_tokens} in, {usage.completion_tokens} out"


def tools(w):
    asked = [{"role": "user", "content": "What is the weather in Paris?"}]
    r = w.client.chat.completions.create(
        model=w.model,
        messages=asked,
        tools=[WEATHER],
        tool_choice="required",
        max_tokens=200,
        temperature=0,
    )
    call = r.choices[0].message.tool_calls[0].function
    assert "city" in json.loads(call.arguments)
    return f"{call.name}({call.arguments})"


def tools_streamed(w):
    asked = [{"role": "user", "content": "What is the weather in Paris?"}]
    name, arguments = "", ""
    for e in w.client.chat.completions.create(
        model=w.model, messages=asked, tools=[WEATHER], tool_choice="required", max_tokens=200, temperature=0,
        stream=True,
    ):  # fmt: skip
        for call in (e.choices[0].delta.tool_calls or []) if e.choices else []:
            if call.index > 0:
                continue
            name += call.function.name or ""
            arguments += call.function.arguments or ""
    return f"{name}({json.loads(arguments)})"


def json_schema(w):
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    r = w.client.chat.completions.create(
        model=w.model, max_tokens=64, response_format=form,
        messages=[{"role": "user", "content": "Ann is 30 years old. Answer as JSON."}],
    )  # fmt: skip
    person = json.loads(r.choices[0].message.content)
    assert set(person) == {"name", "age"}
    return person


def completions(w):
    return (
        w.client.completions.create(model=w.model, prompt="One, two,", max_tokens=8).choices[0].text
    )


def responses(w):
    return w.client.responses.create(
        model=w.model, input="Say hi.", max_output_tokens=16
    ).output_text


def responses_streamed(w):
    kinds = []
    for e in w.client.responses.create(
        model=w.model, input="Say hi.", max_output_tokens=16, stream=True
    ):
        kinds.append(e.type)
    assert kinds[0] == "response.created"
    assert kinds[-1] in ("response.completed", "response.incomplete"), kinds[-1]
    return f"{len(kinds)} events to {kinds[-1]}"


def embeddings(w):
    r = w.client.embeddings.create(model="embed", input=["a river", "a mountain"])
    return f"{len(r.data)} vectors of {len(r.data[0].embedding)}"


def models(w):
    return ", ".join(m.id for m in w.client.models.list().data)


def wrong_key(w):
    try:
        w.client.with_options(api_key="sk-no").models.list()
    except openai.AuthenticationError as error:
        return error.code
    raise AssertionError("let in")


def unknown_model(w):
    try:
        w.client.chat.completions.create(model="nope", messages=COUNT)
    except openai.NotFoundError as error:
        return error.body["message"]
    raise AssertionError("served")


def abort(w):
    stream = w.client.chat.completions.create(
        model=w.model, messages=STORY, max_tokens=1500, stream=True
    )
    for seen, _ in enumerate(stream):
        if seen == 5:
            break
    assert w.busy() > 0, "the model server is idle already"
    stream.close()
    return f"server idle {until_idle(w):.2f} s after we left"


def abort_unstreamed(w):
    hasty = w.client.with_options(timeout=1.0)
    try:
        hasty.chat.completions.create(model=w.model, messages=STORY, max_tokens=1500)
    except openai.APITimeoutError:
        began = time.monotonic()
        while w.in_flight():
            assert time.monotonic() - began < 1, "the program holds on to its upstream"
        dropped = time.monotonic() - began
        try:
            idle = f"server idle after {until_idle(w):.2f} s"
        except AssertionError:
            # llama.cpp misses some of these without a proxy as well.
            idle = "the model server generates on"
        return f"upstream dropped after {dropped:.3f} s, {idle}"
    raise AssertionError("it was faster than a second")


def until_idle(w, limit=3):
    began = time.monotonic()
    while w.busy():
        assert time.monotonic() - began < limit, "the model server did not notice"
        time.sleep(0.02)  # noqa: TID251 - a real server is waited for
    return time.monotonic() - began


def fifty_at_once(w):
    async def run():
        async with openai.AsyncOpenAI(
            base_url=w.url, api_key=w.key, max_retries=0, timeout=300
        ) as client:

            async def one(i):
                said = [{"role": "user", "content": f"Say the number {i}."}]
                if i % 2:
                    r = await client.chat.completions.create(
                        model=w.model, messages=said, max_tokens=8
                    )
                    return r.choices[0].message.content
                stream = await client.chat.completions.create(
                    model=w.model, messages=said, max_tokens=8, stream=True
                )
                return "".join(
                    [(e.choices[0].delta.content or "") async for e in stream if e.choices]
                )

            return await asyncio.gather(*(one(i) for i in range(50)))

    answers = asyncio.run(run())
    assert all(answers)
    return f"{len(answers)} answers"


STEPS = (
    chat, raw_headers, chat_streamed, chat_streamed_with_usage, tools, tools_streamed, json_schema,
    completions, responses, responses_streamed, embeddings, models, wrong_key, unknown_model, abort,
    abort_unstreamed, fifty_at_once,
)  # fmt: skip


def get(url, token=""):
    asked = urllib.request.Request(url, headers={"authorization": f"Bearer {token}"})
    with urllib.request.urlopen(asked, timeout=5) as answer:
        return answer.read()
