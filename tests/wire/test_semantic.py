"""Questions that mean the same, in the running program."""

import asyncio
import struct

import openai
import orjson
import pytest

from proxy import embedding
from proxy.semantic.agreement import cosine
from tests.corpus.answers import SAME
from tests.judges import FROZEN, Judge
from tests.judges import chat as judged
from tests.meaning import vector_of
from tests.program import KEY, ask, program, request
from tests.scripted import REPLY, Scripted, chunk, json_answer, says, streams, then
from tests.wire.test_cache import TWO, state

ROUTE = (
    '  - {name: c, match: {model: "m*"}, targets: [{upstream: main}], retry: {attempts: 1},'
    " cache: answers}"
)
QUESTION, LIKE = "What is the capital of France?", "Please tell me the capital of France"
OTHER_KEY = "secret"
ANIMALS = ("cheetah", "horse", "snail", "falcon", "shark", "hare")


def chat(text, **more):
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    return {"model": "m", "temperature": 0, "messages": turns, **more}


def embeds(body):
    """What an embeddings server says."""
    return {
        "object": "list",
        "data": [
            {"index": i, "embedding": struct.unpack("<64f", vector_of(text))}
            for i, text in enumerate(body["input"])
        ],
    }


def semantic(tmp_path, port, encoder, *, mode="on", more="", extra="", sealed="", **parts):
    settings = f"mode: {mode}, threshold: 0.9, embed: {{upstream: encoder, model: e}}{more}"
    return program(
        tmp_path,
        port,
        upstreams=f'  encoder: {{kind: generic, base_url: "http://127.0.0.1:{encoder.port}/v1"}}',
        routes=ROUTE,
        tenants=TWO,
        more=f"cache: {{answers: {{{sealed}ttl: 1h, semantic: {{{settings}}}}}}}\n{extra}",
        **parts,
    )


def status(running):
    return running.worker.app.status()["cache"]["semantic"]["answers"]


async def until(is_so):
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0.002)


async def learned(running, count=1):
    await until(lambda: status(running)["questions"] >= count)


def says_text(text):
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
    }
    return says(json_answer({**REPLY, "choices": [choice]}))


async def test_a_question_in_other_words_is_answered_in_both_forms(tmp_path):
    async with (
        Scripted([says_text("Paris")]) as up,
        Judge(embeds) as encoder,
        semantic(tmp_path, up.port, encoder, more=", verify: 0") as running,
    ):
        first = await ask(running.port, request(body=chat(QUESTION)))
        await learned(running)
        like = await ask(running.port, request(body=chat(LIKE)))
        streamed = await ask(running.port, request(body=chat(LIKE, stream=True)))

        assert [state(a) for a in (first, like, streamed)] == ["miss", "semantic", "semantic"]
        assert like.json["choices"] == first.json["choices"]
        assert like.json["id"] != first.json["id"]
        assert "Paris" in streamed.body.decode()
        assert streamed.events[-1] == "data: [DONE]"
        assert float(like.headers["x-sidestream-similarity"]) > 0.99
        assert like.headers["age"] == "0"
        assert like.headers["cache-status"].startswith("sidestream; hit; ttl=3")
        assert len(up.requests) == 1
        assert (status(running)["hit"], status(running)["state"]) == (2, "on")


async def test_a_streamed_answer_serves_the_like_of_its_question(tmp_path):
    async with (
        Scripted([streams()]) as up,
        Judge(embeds) as encoder,
        semantic(tmp_path, up.port, encoder, more=", verify: 0") as running,
    ):
        await ask(running.port, request(body=chat(QUESTION, stream=True)))
        await learned(running)
        client = openai.AsyncOpenAI(base_url=running.url, api_key=KEY, max_retries=0)
        async with client:
            said = await client.chat.completions.create(**chat(LIKE))

        assert said.choices[0].message.content == "Hi there!"
        assert len(up.requests) == 1


async def test_another_number_another_tenant_another_frame_are_another_question(tmp_path):
    async with (
        Scripted([says_text("It has 5 sides.")]) as up,
        Judge(embeds) as encoder,
        semantic(tmp_path, up.port, encoder, more=", verify: 0") as running,
    ):
        await ask(running.port, request(body=chat("How many sides has polygon type 5 exactly?")))
        await learned(running)
        asked = [
            request(body=chat("How many sides has polygon type 6 exactly?")),
            request(body=chat("How many sides has polygon type 5 exactly"), key=OTHER_KEY),
            request(body=chat("How many sides has polygon type 5 exactly", seed=1)),
            request(body=chat("How many sides has polygon type 5 exactly", model="m2")),
        ]
        states = [state(await ask(running.port, data)) for data in asked]

        assert states == ["miss"] * 4


async def test_shadow_costs_nobody_anything_and_measures(tmp_path):
    async with (
        Scripted([says_text(text) for text in ("Paris", "paris.", "Fast", "Slow")]) as up,
        Judge(embeds) as encoder,
        semantic(tmp_path, up.port, encoder, mode="shadow") as running,
    ):
        texts = (QUESTION, LIKE, "How fast is the hare?", "Tell me how fast the hare is")
        for i, text in enumerate(texts):
            answer = await ask(running.port, request(body=chat(text)))
            assert state(answer) == "miss"
            await learned(running, i + 1)

        told = status(running)
        assert (told["would_hit"], told["miss"], told["verified"], told["wrong"]) == (2, 2, 2, 1)
        assert told["undecided"] == 0
        assert told["error_at_most"] == told["error_at_most_decided"] > 0.9
        scraped = await ask(
            running.worker.admin_port, request("/metrics", method="GET", key="admin-token")
        )
        exposition = scraped.body.decode()
        assert (
            'sidestream_cache_semantic_results_total{cache="answers",result="would_hit"} 2.0'
            in exposition
        )
        assert (
            'sidestream_cache_semantic_verified_total{cache="answers",verdict="wrong"} 1.0'
            in exposition
        )
        assert 'sidestream_cache_semantic_error_at_most{cache="answers"} 0.97' in exposition


class Lines:
    """A request log that keeps its lines."""

    def __init__(self):
        self.kept = []

    def write(self, line):
        self.kept.append(line)


def logged(caplog):
    """Who was or would be given whose answer, and the verdict, by request ids."""
    lines = [r.message for r in caplog.records if r.name == "sidestream.semantic"]
    return [line for line in lines if " given the answer to " in line]


async def test_the_log_says_which_request_would_be_given_whose_answer(tmp_path, caplog):
    caplog.set_level("INFO")
    async with (
        Scripted([says_text(text) for text in ("Paris", "paris.", "Fast", "Slow")]) as up,
        Judge(embeds) as encoder,
        semantic(tmp_path, up.port, encoder, mode="shadow") as running,
    ):
        texts = (QUESTION, LIKE, "How fast is the hare?", "Tell me how fast the hare is")
        ids = []
        for i, text in enumerate(texts):
            answer = await ask(running.port, request(body=chat(text)))
            ids.append(answer.headers["x-request-id"])
            await learned(running, i + 1)

        said = "cache answers: request %s would be given the answer to %s, cosine "
        for line, new, old, verdict in zip(
            logged(caplog), ids[1::2], ids[::2], ("right", "wrong"), strict=True
        ):
            assert line.startswith(said % (new, old))
            assert line.endswith(f": {verdict}")
        assert not any(word in caplog.text for word in ("capital", "Paris", "hare", "Slow"))


async def test_the_log_line_of_a_hit_names_the_request_that_was_matched(tmp_path, caplog):
    caplog.set_level("INFO")
    lines = Lines()
    async with (
        Scripted([says_text("Paris"), says_text("Lyon")]) as up,
        Judge(embeds) as encoder,
        semantic(tmp_path, up.port, encoder, more=", verify: 100%") as running,
    ):
        running.worker.app._log = lines
        running.worker._swap(running.worker.reloader._loaded)
        first = await ask(running.port, request(body=chat(QUESTION)))
        await learned(running)
        served = await ask(running.port, request(body=chat(LIKE)))
        await until(lambda: logged(caplog))

        ids = [a.headers["x-request-id"] for a in (first, served)]
        notes = [orjson.loads(line) for line in lines.kept]
        hit = next(line for line in notes if line["notes"]["cache"] == "semantic")
        assert (hit["id"], hit["notes"]["asker"]) == (ids[1], ids[0])
        assert hit["notes"]["cosine"] == served.headers["x-sidestream-similarity"]
        (line,) = logged(caplog)
        assert f"request {ids[1]} was given the answer to {ids[0]}, cosine " in line
        assert line.endswith(": wrong")


async def test_calls_for_vectors_are_counted_and_their_price_is_told(tmp_path):
    async with (
        Scripted([says_text("Paris")]) as up,
        Judge(embeds) as encoder,
        semantic(
            tmp_path,
            up.port,
            encoder,
            more=", verify: 0",
            extra="prices: {e: {input: 1000, output: 0}}",
        ) as running,
    ):
        await ask(running.port, request(body=chat(QUESTION)))
        await learned(running)
        await ask(running.port, request(body=chat(LIKE)))
        await ask(running.port, request(body=chat(LIKE)))
        told = status(running)["embeddings"]
        scraped = await ask(
            running.worker.admin_port, request("/metrics", method="GET", key="admin-token")
        )

        tokens = told.pop("tokens")
        assert 10 <= tokens <= 30
        assert told == {"calls": 2, "made": 2, "usd": tokens / 1000}
        name = "sidestream_cache_semantic_embedding"
        for line in (
            f'{name}s_total{{cache="answers",result="made",tenant="acme"}} 2.0',
            f'{name}_tokens_total{{cache="answers",tenant="acme"}} {float(tokens)}',
        ):
            assert line in scraped.body.decode()


async def test_a_call_for_vectors_that_fails_costs_nothing_and_is_counted(tmp_path):
    async with (
        Scripted([says_text("Paris")]) as up,
        Judge(dict) as encoder,
        semantic(tmp_path, up.port, encoder) as running,
    ):
        await ask(running.port, request(body=chat(QUESTION)))
        await until(lambda: status(running)["embeddings"]["calls"] == 2)

        assert status(running)["embeddings"] == {"calls": 2, "made": 0, "tokens": 0, "usd": None}


async def test_the_status_says_what_a_semantic_cache_lacks(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "find_spec", dict[str, object]().get)
    async with (
        Scripted([says_text("Paris")]) as up,
        Judge(embeds) as encoder,
        semantic(tmp_path, up.port, encoder) as running,
    ):
        assert status(running) == {
            "state": "off",
            "reason": "needs the package numpy: pip install 'sidestream[semantic]'",
        }
        assert state(await ask(running.port, request(body=chat(QUESTION)))) == "miss"


async def test_a_sample_is_verified_behind_the_client_s_back(tmp_path):
    async with (
        Scripted([says_text("Paris"), says_text("Lyon"), says_text("Rome")]) as up,
        Judge(embeds) as encoder,
        semantic(tmp_path, up.port, encoder, more=", verify: 100%") as running,
    ):
        await ask(running.port, request(body=chat(QUESTION)))
        await learned(running)
        served = await ask(running.port, request(body=chat(LIKE)))
        await until(lambda: status(running)["verified"] == 1)
        again = await ask(running.port, request(body=chat(LIKE)))

        assert (state(served), served.json["choices"][0]["message"]["content"]) == (
            "semantic",
            "Paris",
        )
        # What the upstream really says to it is what it is answered from then on.
        assert (state(again), again.json["choices"][0]["message"]["content"]) == ("hit", "Lyon")
        assert (len(up.requests), status(running)["wrong"]) == (2, 1)


async def test_too_many_wrong_ones_and_it_only_measures(tmp_path, caplog):
    scripts = [says_text(f"Lyon {i}") for i in range(40)]
    async with (
        Scripted(scripts) as up,
        Judge(embeds) as encoder,
        semantic(tmp_path, up.port, encoder, more=", verify: 100%, max_error: 20%") as running,
    ):
        verified = 0

        async def asked(word, key=KEY):
            """A question and one like it; what the second is answered by."""
            nonlocal verified
            verified += 1
            known = status(running)["questions"]
            await ask(running.port, request(body=chat(f"How fast is the {word}?"), key=key))
            await learned(running, known + 1)
            like = request(body=chat(f"Tell me how fast the {word} is"), key=key)
            answer = await ask(running.port, like)
            await until(lambda: status(running)["verified"] == verified)
            await learned(running, known + 2)
            return state(answer)

        states = [await asked(word) for word in ANIMALS]
        assert states == ["semantic"] * 5 + ["miss"]
        assert (status(running)["state"], status(running)["suspended_scopes"]) == ("on", 1)
        logged = [r.message for r in caplog.records if r.name == "sidestream.semantic"]
        assert len(logged) == 1
        assert "answers only measures near questions of tenant acme" in logged[0]

        others = [await asked(word, OTHER_KEY) for word in ANIMALS]
        assert others == ["semantic"] * 5 + ["miss"]
        told = status(running)
        assert (told["state"], told["suspended_scopes"], told["wrong"]) == ("suspended", 2, 12)


async def test_long_answers_in_other_words_suspend_nothing_and_prove_nothing(tmp_path):
    one, other = max(SAME, key=lambda pair: cosine(*map(vector_of, pair)))
    async with (
        Scripted([says_text(text) for text in (one, other) * len(ANIMALS)]) as up,
        Judge(embeds) as encoder,
        semantic(tmp_path, up.port, encoder, more=", verify: 100%") as running,
    ):
        for i, word in enumerate(ANIMALS, 1):
            await ask(running.port, request(body=chat(f"How fast is the {word}?")))
            await learned(running, 2 * i - 1)
            like = await ask(running.port, request(body=chat(f"Tell me how fast the {word} is")))
            assert state(like) == "semantic"
            await until(lambda i=i: status(running)["undecided"] == i)
            await learned(running, 2 * i)

        told = status(running)
        assert (told["state"], told["verified"], told["wrong"]) == ("on", 0, 0)
        assert told["error_at_most"] == told["error_at_most_decided"] == 1.0
        scraped = await ask(
            running.worker.admin_port, request("/metrics", method="GET", key="admin-token")
        )
        assert (
            'sidestream_cache_semantic_verified_total{cache="answers",verdict="undecided"} 6.0'
            in scraped.body.decode()
        )


async def test_questions_in_the_same_words_are_no_evidence(tmp_path):
    async with (
        Scripted([says_text(f"Random {i}") for i in range(20)]) as up,
        Judge(embeds) as encoder,
        semantic(tmp_path, up.port, encoder, more=", verify: 100%") as running,
    ):
        await ask(running.port, request(body=chat(QUESTION)))
        await learned(running)
        for i in range(1, 9):
            answer = await ask(running.port, request(body=chat(QUESTION + "?" * i)))
            assert state(answer) == "semantic"

        assert (status(running)["verified"], status(running)["state"]) == (0, "on")
        assert len(up.requests) == 1


async def test_a_judge_says_whether_answers_agree(tmp_path):
    def say(body):
        if "input" in body:
            return embeds(body)
        told = orjson.loads(body["messages"][1]["content"])
        return judged("same" if "Paris" in told["first"] and "Paris" in told["second"] else "what?")

    texts = ["Paris", "Paris, on the Seine", "Lyon", "No, Lyon is not"]
    async with (
        Scripted([says_text(text) for text in texts]) as up,
        Judge(say) as encoder,
        semantic(
            tmp_path, up.port, encoder, more=", verify: 100%, judge: {upstream: encoder, model: j}"
        ) as running,
    ):
        await ask(running.port, request(body=chat(QUESTION)))
        await learned(running)
        served = await ask(running.port, request(body=chat(LIKE)))
        await learned(running, 2)
        assert state(served) == "semantic"
        assert (status(running)["verified"], status(running)["wrong"]) == (1, 0)

        await ask(running.port, request(body=chat("What is the largest city of Gaul?")))
        await learned(running, 3)
        await ask(running.port, request(body=chat("Tell me the largest city of Gaul")))
        await learned(running, 4)

        asked = [body for _, body in encoder.asked if "messages" in body]
        assert len(asked) == 2
        assert asked[0]["model"] == "j"
        assert status(running)["verified"] == 1


async def test_texts_that_are_refused_take_embeddings_from_nobody(tmp_path):
    def say(body):
        if any("bad" in text for text in body["input"]):
            return b"HTTP/1.1 400 X\r\ncontent-length: 2\r\n\r\n{}"
        return embeds(body)

    async with (
        Scripted([says_text("Paris")]) as up,
        Judge(say) as encoder,
        semantic(tmp_path, up.port, encoder, more=", verify: 0") as running,
    ):
        await ask(running.port, request(body=chat(QUESTION)))
        await learned(running)
        for i in range(8):
            await ask(running.port, request(body=chat(f"bad {i}"), key=OTHER_KEY))
        like = await ask(running.port, request(body=chat(LIKE)))

        assert state(like) == "semantic"


@pytest.mark.parametrize(
    "say", [FROZEN, b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n", {"data": []}]
)
async def test_a_server_of_embeddings_that_fails_costs_no_answer(tmp_path, say):
    async with (
        Scripted([says_text("Paris")]) as up,
        Judge(say) as encoder,
        semantic(tmp_path, up.port, encoder) as running,
    ):
        answers = [await ask(running.port, request(body=chat(f"{QUESTION} {i}"))) for i in "abc"]

        assert [a.status for a in answers] == [200] * 3
        assert [state(a) for a in answers] == ["miss"] * 3
        await until(lambda: status(running).get("no_vector", 0) >= 3)


async def test_identical_questions_at_once_are_embedded_once_and_asked_once(tmp_path):
    async with (
        Scripted([says_text("Paris")]) as up,
        Judge(embeds) as encoder,
        semantic(tmp_path, up.port, encoder, more=", verify: 0") as running,
    ):
        answers = await asyncio.gather(
            *(ask(running.port, request(body=chat(QUESTION))) for _ in range(40))
        )

        assert {a.status for a in answers} == {200}
        assert len(up.requests) == 1
        await learned(running)
        assert len(encoder.asked) == 1


async def test_a_client_may_ask_for_nothing_stored(tmp_path):
    async with (
        Scripted([says_text("Paris")]) as up,
        Judge(embeds) as encoder,
        semantic(tmp_path, up.port, encoder, more=", verify: 0") as running,
    ):
        await ask(running.port, request(body=chat(QUESTION)))
        await learned(running)
        no_cache = ("Cache-Control: no-cache",)
        fresh = await ask(running.port, request(body=chat(LIKE), headers=no_cache))
        only = await ask(
            running.port,
            request(body=chat("capital of France"), headers=("Cache-Control: only-if-cached",)),
        )

        assert state(fresh) == "miss"
        assert (only.status, state(only)) == (200, "semantic")


async def test_answers_that_are_cut_or_refused_are_not_learned(tmp_path):
    cut = [chunk({"role": "assistant", "content": "Par"})]
    async with (
        Scripted([streams(cut), then(json_answer(status=500), end="close")]) as up,
        Judge(embeds) as encoder,
        semantic(tmp_path, up.port, encoder, more=", verify: 0") as running,
    ):
        await ask(running.port, request(body=chat(QUESTION, stream=True)))
        await ask(running.port, request(body=chat(QUESTION)))

        assert status(running)["questions"] == 0
        assert all(orjson.loads(orjson.dumps(b))["input"] == [QUESTION] for _, b in encoder.asked)


async def test_only_what_redaction_leaves_is_embedded(tmp_path):
    extra = "redaction: {pii: {detect: [email]}}"
    async with (
        Scripted([says_text("Done")]) as up,
        Judge(embeds) as encoder,
        semantic(tmp_path, up.port, encoder, extra=extra, tenant=", redaction: pii") as running,
    ):
        await ask(running.port, request(body=chat("What may jane@example.org do here?")))
        await learned(running)
        like = await ask(running.port, request(body=chat("what may jane@example.org do here")))
        other = await ask(running.port, request(body=chat("What may john@example.org do here?")))

        assert "example.org" not in repr(encoder.asked)
        assert state(like) == "semantic"
        assert state(other) == "miss"


async def test_what_was_asked_before_a_purge_is_not_served_after_it(tmp_path):
    is_asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slowly(peer):
        is_asked.set()
        await may_answer.wait()
        await says_text("OLD")(peer)

    async with (
        Scripted([slowly, says_text("NEW")]) as up,
        Judge(embeds) as encoder,
        semantic(tmp_path, up.port, encoder, more=", verify: 0") as running,
    ):
        first = asyncio.create_task(ask(running.port, request(body=chat(QUESTION))))
        await is_asked.wait()
        await running.worker.caches.purge(route="c")
        may_answer.set()
        assert (await first).json["choices"][0]["message"]["content"] == "OLD"
        await learned(running)
        again = await ask(running.port, request(body=chat(LIKE)))

        assert (state(again), again.json["choices"][0]["message"]["content"]) == ("miss", "NEW")


async def test_who_is_over_a_limit_buys_no_embeddings(tmp_path):
    limits = "limits: {tight: {requests: 2/min}}"
    async with (
        Scripted([says_text("Paris")]) as up,
        Judge(embeds) as encoder,
        semantic(tmp_path, up.port, encoder, extra=limits, tenant=", limits: tight") as running,
    ):
        bodies = [chat(f"What is thing {i}?") for i in range(30)]
        statuses = [(await ask(running.port, request(body=body))).status for body in bodies]

        assert statuses == [200] * 2 + [429] * 28
        assert len(encoder.asked) == 3


async def test_who_cannot_be_checked_is_served_no_likes(tmp_path):
    limits = "limits: {tight: {requests: 1/min}}"
    async with (
        Scripted([says_text("Paris")]) as up,
        Judge(embeds) as encoder,
        semantic(
            tmp_path,
            up.port,
            encoder,
            more=", verify: 100%",
            extra=limits,
            tenant=", limits: tight",
        ) as running,
    ):
        await ask(running.port, request(body=chat(QUESTION)))
        await learned(running)
        answers = []
        for begin in ("Please tell me", "Tell me", "Can you tell me"):
            answers.append(
                await ask(running.port, request(body=chat(f"{begin} the capital of France")))
            )
            await running.settled()

        assert state(answers[0]) == "semantic"
        assert {a.status for a in answers[1:]} == {429}
