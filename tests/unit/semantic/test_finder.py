"""A question that means the same gets the answer; any doubt and it does not."""

import os

import orjson
import pytest

from proxy.core.cache import Terms
from proxy.core.errors import RateLimited, UpstreamReset
from proxy.core.plan import Plan, Target
from proxy.observe.semantic import SemanticMeter
from proxy.rules.cacheable import CacheRule
from proxy.rules.freshness import NO_WISH, Wish
from proxy.rules.likeness import Likeness
from proxy.rules.trials import ScopedTrials
from proxy.semantic.agreement import MAX_LENGTH, compare
from proxy.semantic.finder import MAX_LEARNING, Semantics
from proxy.stores.cache_memory import Memory
from proxy.stores.cache_redis import Shared
from proxy.stores.questions import KeptQuestions
from proxy.stores.scripts import load_scripts
from proxy.stores.sealed import Master
from proxy.stores.vault import SealedVault
from proxy.wire.endpoints import EXACT
from proxy.wire.replay import Entry
from tests.kit import FakeClock, exchange
from tests.meaning import FakeEmbedder

SECRET = os.urandom(32)


def never(one, other, is_lenient):
    return ""


class Later:
    """Tasks that run when the test says so."""

    def __init__(self):
        self.works = []

    def begin(self, work):
        self.works.append(work)

    async def run(self):
        works, self.works = self.works, []
        for work in works:
            await work


class Down:
    """A store that cannot be reached."""

    is_up = False


class World:
    """A cache of one process with a semantic part, and nothing around it."""

    def __init__(
        self,
        mode="on",
        *,
        verify=0.0,
        max_error=0.05,
        differ=never,
        judge=None,
        forgive=2.0,
        store=None,
    ):
        self.clock, self.tasks, self.meter = FakeClock(), Later(), SemanticMeter()
        self.embedder, self.trials = FakeEmbedder(), ScopedTrials()
        self.shared = Shared(store, load_scripts())
        self.questions = KeptQuestions(
            self.shared, Master(SECRET, "vector"), self.tasks, self.clock, is_far=False
        )
        self.questions.limit = 1 << 20
        self.vault = SealedVault(
            self.shared, self.clock, (Master(SECRET),), Memory(1 << 20), is_own_key=False
        )
        self.rule = CacheRule(
            name="answers",
            vault=self.vault,
            terms=Terms(3600.0, 0.0, 15.0),
            likeness=Likeness(
                mode=mode,
                threshold=0.95,
                forgive=forgive,
                verify=verify,
                max_error=max_error,
                timeout_s=0.15,
                embedder=self.embedder,
                questions=self.questions,
                trials=self.trials,
                compare=compare,
                judge=judge,
            ),
        )
        self.finder = Semantics(
            self.shared, differ, self.tasks, self.clock, lambda: 0.5, self.meter
        )

    async def find(self, text, wish=NO_WISH, **more):
        place = self.finder.place(asked(text, **more), self.rule)
        return await self.finder.find(place, wish)

    def keep(self, text, answer="Paris", match=None, **more):
        """Store an answer as the cache does, and learn from it."""
        entry = answered(answer, self.clock.wall())
        x = asked(text, **more)
        scope = self.rule.scope_of(x)
        key = self.vault.key(scope, text.encode() + repr(sorted(more)).encode())
        self.vault.keep(scope, key, entry.pack(), era=self.vault.era(scope), seconds=3600)
        place = self.finder.place(x, self.rule)
        self.finder.learn(place, key, self.vault.era(scope), entry, match)
        return key

    async def kept(self, text, answer="Paris", **more):
        key = self.keep(text, answer, **more)
        await self.tasks.run()
        return key


def asked(text, *, tenant="acme", system="Be brief.", model="m", **more):
    turns = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    x = exchange(body=b"")
    x.body = {"model": model, "temperature": 0, "messages": turns, **more}
    x.tenant, x.model = tenant, model
    x.endpoint = EXACT["/v1/chat/completions"]
    x.plan = Plan("chat", (Target("main/m", "main", model),))
    return x


def answered(text, at, finish="stop"):
    whole = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
    return Entry(at=at, ttl=3600.0, stale=0.0, kind="chat", finish=finish,
                 usage=(7, 3), whole=orjson.dumps(whole))  # fmt: skip


QUESTION, LIKE = "What is the capital of France?", "Please tell me the capital of France"


async def test_a_question_in_other_words_is_answered():
    world = World()
    key = await world.kept(QUESTION)

    match = await world.find(LIKE)

    assert match.key == key
    assert b"Paris" in match.entry.whole
    assert match.cosine > 0.99
    assert not match.is_sampled
    assert world.meter.results == {("answers", "hit"): 1}


async def test_another_question_is_not():
    world = World()
    await world.kept(QUESTION)

    assert await world.find("How do I file taxes in Ohio?") is None
    assert world.meter.results == {("answers", "miss"): 1}


async def test_the_guard_has_the_last_word():
    world = World(differ=lambda one, other, _: "names" if one != other else "")
    await world.kept(QUESTION)

    assert await world.find(LIKE) is None
    assert world.meter.refused == {("answers", "names"): 1}


@pytest.mark.parametrize(("forgive", "is_served"), [(0.97, True), (2.0, False)])
async def test_the_guard_is_lenient_where_questions_are_nearer(forgive, is_served):
    def differ(one, other, is_lenient):
        return "" if is_lenient else "words"

    world = World(differ=differ, forgive=forgive)
    await world.kept(QUESTION)

    assert (await world.find(LIKE) is not None) is is_served


@pytest.mark.parametrize(
    "more",
    [
        {"tenant": "other"}, {"system": "Be rude."}, {"model": "n"}, {"max_tokens": 5},
        {"temperature": 0.5}, {"n": 2}, {"response_format": {"type": "json_object"}},
    ],
)  # fmt: skip
async def test_all_but_the_last_turn_must_be_the_same(more):
    world = World()
    await world.kept(QUESTION)

    assert await world.find(LIKE, **more) is None
    assert await world.find(LIKE) is not None


async def test_an_answer_that_is_gone_is_no_answer_and_is_forgotten():
    world = World()
    key = await world.kept(QUESTION)
    world.vault.memory.drop(key.now)

    assert await world.find(LIKE) is None
    assert len(world.questions) == 0


async def test_a_question_is_not_forgotten_because_a_store_is_down():
    world = World(store=Down())
    key = await world.kept(QUESTION)
    world.vault.memory.drop(key.now)

    assert await world.find(LIKE) is None
    assert len(world.questions) == 1


async def test_an_answer_that_is_too_old_is_no_answer():
    world = World()
    await world.kept(QUESTION)
    world.clock.advance(120)

    assert await world.find(LIKE, Wish(max_age=60)) is None
    assert await world.find(LIKE) is not None


async def test_without_a_vector_the_request_goes_on():
    world = World()
    await world.kept(QUESTION)
    world.embedder.is_late = True

    assert await world.find(LIKE) is None
    assert world.meter.results == {("answers", "no_vector"): 1}


async def test_shadow_answers_nobody_and_measures():
    world = World("shadow")
    await world.kept(QUESTION, "Paris")

    assert await world.find(LIKE) is None
    await world.kept(LIKE, "paris!")
    await world.kept("Cats and dogs?", "Yes")
    await world.kept("Dogs and cats?", "No")

    assert world.meter.results == {("answers", "miss"): 2, ("answers", "would_hit"): 2}
    assert world.meter.verified == {("answers", "right"): 1, ("answers", "wrong"): 1}
    assert (world.trials.whole.number, world.trials.whole.wrong) == (2, 1)


async def test_a_question_asked_again_is_not_its_own_like():
    world = World("shadow")
    await world.kept(QUESTION)
    await world.kept(QUESTION)

    assert ("answers", "would_hit") not in world.meter.results
    assert world.trials.whole.number == 0
    assert len(world.questions) == 1


async def test_a_sample_is_held_against_the_real_answer():
    world = World(verify=0.6)
    await world.kept(QUESTION)
    match = await world.find(LIKE)
    assert match.is_sampled

    world.keep(LIKE, "Lyon", match=match)
    await world.tasks.run()

    assert world.meter.verified == {("answers", "wrong"): 1}


async def test_it_stops_serving_when_it_is_proven_wrong_and_comes_back():
    world = World(max_error=0.3)
    await world.kept(QUESTION)
    for i in range(10):
        world.trials.add("t.acme", b"%d" % i, is_wrong=True)

    assert not world.rule.likeness.serves("t.acme")
    assert world.rule.likeness.serves("t.other")
    assert await world.find(LIKE) is None
    for i in range(60):
        world.trials.add("t.acme", b"+%d" % i, is_wrong=False)
    assert await world.find(LIKE) is not None


async def test_one_served_answer_is_looked_at_once():
    world = World(verify=1.0)
    await world.kept(QUESTION)
    matches = [await world.find(f"{LIKE} {word}") for word in ("of", "in", "can", "do")]
    asked_before = len(world.embedder.asked)
    for i, match in enumerate(matches):
        world.keep(f"{LIKE} {i}", "Lyon", match=match)
        await world.tasks.run()

    assert (world.trials.whole.number, world.trials.whole.wrong) == (1, 1)
    assert world.meter.verified == {("answers", "wrong"): 1}
    assert len(world.embedder.asked) == asked_before + len(matches) + 2


async def test_the_same_words_are_no_evidence():
    world = World(verify=1.0)
    await world.kept(QUESTION)
    match = await world.find(QUESTION.lower() + "??")
    assert not match.is_sampled
    world.keep(QUESTION.lower() + "??", "Lyon", match=match)
    await world.tasks.run()

    assert world.trials.whole.number == 0


class Judge:
    def __init__(self, verdict):
        self.verdict, self.asked = verdict, []

    async def is_same(self, question, one, other):
        self.asked.append((question, one, other))
        return self.verdict


@pytest.mark.parametrize("verdict", [True, False, None])
async def test_a_judge_tells_of_answers_in_other_words(verdict):
    judge = Judge(verdict)
    world = World(verify=1.0, judge=judge)
    await world.kept(QUESTION)
    match = await world.find(LIKE)
    world.keep(LIKE, "Paris it is.", match=match)
    await world.tasks.run()

    assert judge.asked == [(LIKE, "Paris", "Paris it is.")]
    assert world.trials.whole.number == (verdict is not None)
    assert world.trials.whole.wrong == (verdict is False)


async def test_a_judge_is_not_asked_about_the_same_words():
    judge = Judge(verdict=False)
    world = World(verify=1.0, judge=judge)
    await world.kept(QUESTION)
    match = await world.find(LIKE)
    world.keep(LIKE, "paris.", match=match)
    await world.tasks.run()

    assert judge.asked == []
    assert (world.trials.whole.number, world.trials.whole.wrong) == (1, 0)


async def test_vectors_that_cannot_be_compared_are_no_verdict():
    world = World(verify=1.0)
    await world.kept(QUESTION)
    match = await world.find(LIKE)
    embed = world.embedder.embed

    async def odd(texts, timeout_s, scope=""):
        made = await embed(texts, timeout_s, scope)
        return [v[: 4 * (i + 2)] for i, v in enumerate(made)] if len(made) == 2 else made

    world.embedder.embed = odd
    world.keep(LIKE, "Lyon", match=match)
    await world.tasks.run()

    assert world.trials.whole.number == 0
    assert len(world.questions) == 2


async def test_a_long_answer_in_other_words_is_undecided_without_a_judge():
    world = World(verify=1.0)
    await world.kept(QUESTION, "Paris. " * 1000)
    match = await world.find(LIKE)
    world.keep(LIKE, "It is Paris. " * 1000, match=match)
    await world.tasks.run()

    assert (world.trials.whole.number, world.trials.looked.undecided) == (0, 1)
    assert world.meter.verified == {("answers", "undecided"): 1}
    assert not (await world.find(f"{LIKE} of")).is_sampled
    assert max(map(len, world.embedder.asked)) == MAX_LENGTH


async def test_what_is_undecided_suspends_nobody_and_its_bound_is_the_worst():
    world = World(verify=1.0)
    for i in range(20):
        world.trials.add("t.acme", b"%d" % i, is_wrong=None)
    await world.kept(QUESTION)

    assert (await world.find(LIKE)).is_sampled
    assert world.trials.looked.at_most == 1.0


@pytest.mark.parametrize(
    "entry",
    [
        answered("Paris", 0.0, "length"),
        answered("Paris", 0.0, "tool_calls"),
        answered("", 0.0),
        answered("Paris", 0.0)._replace(status=400),
        answered("Paris", 0.0)._replace(whole=b"[]"),
    ],
)
async def test_only_whole_answers_in_words_are_learned(entry):
    world = World()
    place = world.finder.place(asked(QUESTION), world.rule)
    world.finder.learn(place, world.vault.key("t.acme", b""), b"", entry, None)

    assert world.tasks.works == []


async def test_answers_beyond_what_can_be_learned_at_once_are_let_go():
    world = World()
    for i in range(MAX_LEARNING + 5):
        world.keep(f"question {i}")

    assert len(world.tasks.works) == MAX_LEARNING
    await world.tasks.run()
    world.keep("another")
    assert len(world.tasks.works) == 1
    await world.tasks.run()


async def test_an_erased_tenant_is_asked_nothing_any_more():
    world = World()
    await world.kept(QUESTION)
    await world.shared.erase("t.acme")

    assert await world.find(LIKE) is None


async def test_what_was_begun_before_an_erasure_is_not_learned_after():
    world = World()
    world.keep(QUESTION)
    await world.shared.erase("t.acme")
    await world.tasks.run()

    assert len(world.questions) == 0


async def test_words_are_sealed_in_memory():
    world = World()
    await world.kept("What is the secret of zebra-unicorn?")

    (frame,) = world.questions._frames.values()
    assert b"zebra" not in b"".join(kept for _, kept in frame.nearest._names)


async def test_who_is_refused_goes_without_for_a_while():
    world = World()
    await world.kept(QUESTION)
    place = world.finder.place(asked(LIKE), world.rule)
    world.finder.failed(place, UpstreamReset("gone"))
    assert await world.find(LIKE) is not None
    asked_before = len(world.embedder.asked)

    world.finder.failed(place, RateLimited("too many", retry_after=30.0))

    assert await world.find(LIKE) is None
    assert len(world.embedder.asked) == asked_before
    world.clock.advance(31)
    assert await world.find(LIKE) is not None
