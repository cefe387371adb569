"""Fakes that remember what happened to them, in plain words."""

from multidict import CIMultiDict

from proxy.core.endpoint import Endpoint
from proxy.core.exchange import Exchange, Head
from proxy.core.frame import Frame
from proxy.core.pipeline import Pipeline
from proxy.core.policy import Policy, StreamHalf
from proxy.wire.endpoints import EXACT
from proxy.wire.sse import Framer


class FakeIntake:
    """A request body that is here already."""

    is_encoded = False
    is_read = True

    def __init__(self, body=b""):
        self.body = body
        self.length = len(body)
        self.has_body = bool(body)

    async def read(self, limit):
        return self.body


class FakeClock:
    """Hands that only a test turns."""

    def __init__(self, now=0.0, wall=1_800_000_000.0):
        self._now, self._wall = now, wall

    def now(self):
        return self._now

    def wall(self):
        return self._wall

    def advance(self, seconds):
        self._now += seconds
        self._wall += seconds


def exchange(*, endpoint=EXACT["/v1/chat/completions"], headers=None, body=b"", **fields):
    made = Exchange(
        id="r1",
        method=fields.pop("method", "POST"),
        path=fields.pop("path", "/v1/chat/completions"),
        query=fields.pop("query", ""),
        headers=CIMultiDict(headers or {}),
        raw_headers=fields.pop("raw_headers", ()),
        endpoint=endpoint,
        intake=FakeIntake(body),
        peer="127.0.0.1",
        started=0.0,
    )
    for name, value in fields.items():
        setattr(made, name, value)
    return made


NOTHING = Endpoint(name="unknown", methods=frozenset())


class Transcript(list):
    """The client's side: what reached it, in order."""

    is_full = False

    def start(self, x, head):
        self.append(f"< {head.status}" + (f" of {head.length}" if head.length is not None else ""))

    def write(self, data):
        self.append(f"< {data.decode()}")
        return not self.is_full

    async def drain(self):
        self.append("drained")

    def finish(self):
        self.append("< end")

    def refuse(self, x, error):
        self.append(f"< refused {error.status} {error.code}")


class Upstream:
    """Answers with ``pieces``; an exception among them is raised in its place."""

    def __init__(self, log, *pieces, stream=True):
        self.log = log
        self.head = Head(200, [], is_stream=stream)
        self._pieces = pieces

    async def __call__(self, x):
        self.log.append("> forward")
        return self

    async def pump(self, write, drain):
        for piece in self._pieces:
            if isinstance(piece, BaseException):
                raise piece
            if not write(piece):
                await drain()

    def close(self):
        self.log.append("> close")


class Probe(Policy):
    """Does nothing but say so."""

    def __init__(self, log, name, *, answer=None, half=None, fails=None):
        self.log, self.name, self.answer, self.half, self.fails = log, name, answer, half, fails

    async def on_request(self, x):
        self.log.append(f"{self.name} request")
        if self.fails is not None:
            raise self.fails
        return self.answer

    def on_response(self, x, head):
        self.log.append(f"{self.name} response")
        return self.half

    def on_end(self, x, end):
        self.log.append(f"{self.name} end {end.kind}")


class Shout(StreamHalf):
    """Sends every event in capitals, twice, and a last word."""

    def feed(self, frame, send):
        for _ in range(2):
            send(Frame.of(frame.data.upper()))

    def flush(self, send):
        send(Frame.of(b"LAST"))


class Hold(StreamHalf):
    """Keeps everything to the end."""

    def __init__(self):
        self.held = []

    def feed(self, frame, send):
        self.held.append(frame)

    def flush(self, send):
        for frame in self.held:
            send(frame)


async def play(log, stages, *pieces, stream=True):
    pipeline = Pipeline(stages, Upstream(log, *pieces, stream=stream), Framer)
    return await pipeline.run(exchange(), log)
