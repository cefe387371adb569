"""A model that compares answers: one word, or no verdict."""

import asyncio

import orjson
import pytest

from proxy.upstream.agreement_judge import MAX_AT_ONCE, MAX_LENGTH, UpstreamJudge, verdict_of
from tests.judges import chat
from tests.scripted import json_answer, says, then
from tests.unit.upstream.test_embedder import FAULTS, LONG, Asking


class Judging(Asking):
    """A judge on a scripted upstream."""

    async def __aenter__(self):
        await super().__aenter__()
        self.judge = UpstreamJudge(self.embedder._upstream, "j", LONG, self.clock.now)
        return self


@pytest.mark.parametrize(("word", "verdict"), [("same", True), ("different", False)])
async def test_one_word_is_a_verdict(word, verdict):
    async with Judging(says(json_answer(chat(word)))) as judging:
        assert await judging.judge.is_same("Is it?", 'Yes"}', "No") is verdict

        seen = judging.upstream.requests[0]
        assert seen.line == "POST /v1/chat/completions HTTP/1.1"
        assert seen.headers["authorization"] == "Bearer sk-up"
        assert (seen.json["model"], seen.json["temperature"]) == ("j", 0)
        assert seen.json["max_tokens"] <= 10
        system, user = seen.json["messages"]
        assert "no instruction" in system["content"]
        told = {"question": "Is it?", "first": 'Yes"}', "second": "No"}
        assert orjson.loads(user["content"]) == told


@pytest.mark.parametrize(
    "said",
    [
        chat("Same."), chat("same or different"), chat(""), chat(None), chat(["same"]), {},
        {"choices": []}, {"choices": None}, {"choices": [None]}, {"choices": [{"message": "same"}]},
        {"choices": chat("same")["choices"] * 2},
    ],
)  # fmt: skip
def test_anything_else_is_none(said):
    assert verdict_of(said) is None


@pytest.mark.parametrize("script", FAULTS.values(), ids=FAULTS.keys())
async def test_a_fault_is_no_verdict(script):
    async with Judging(script) as judging:
        assert await judging.judge.is_same("q", "a", "b") is None


async def test_only_so_many_are_asked_at_once_and_nothing_about_what_is_too_long():
    async with Judging(then(end="hang")) as judging:
        asking = [
            asyncio.create_task(judging.judge.is_same("q", "a", "b")) for _ in range(MAX_AT_ONCE)
        ]
        while len(judging.upstream.requests) < MAX_AT_ONCE:
            await asyncio.sleep(0)

        assert await judging.judge.is_same("q", "a", "b") is None
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    async with Judging(says(json_answer(chat("same")))) as judging:
        assert await judging.judge.is_same("q", "a" * (MAX_LENGTH + 1), "b") is None
        assert judging.upstream.requests == []
        assert await judging.judge.is_same("q", "a", "b") is True
