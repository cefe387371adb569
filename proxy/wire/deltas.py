"""The runs of text that an event stream carries in pieces, and their rewriting.

A run is what a client joins together: the content of one choice, the
arguments of one tool call, one part of one item.  Each run is fed to a
channel that may hold some of it back; what it holds is sent, as an event of
its own, before anything says that the run is over.  Strings that come whole
(``*.done`` events, items, errors) are rewritten whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import orjson

from proxy.core.frame import Frame
from proxy.core.policy import Send
from proxy.wire.leaves import Path, each, rewrite
from proxy.wire.runs import Channel, Key, Run, closing, key_of
from proxy.wire.structural import is_name, is_structural
from proxy.wire.synthetic import numbered, piece_of_choice, piece_of_item, without_logprobs
from proxy.wire.template import Seen, Template

MAX_TEMPLATES: Final = 16
MAX_PLAIN: Final = 64
MAX_NUMBER: Final = 10**12
"""Of events; what is more is no number that an upstream counts with."""


class Rewriter:
    """Rewrites one event stream.

    ``open_channel`` makes a channel (told whether its text is JSON), ``whole``
    rewrites a string that comes whole, ``mark`` stands in every key that it would
    change.  ``json_content`` says that the answer
    itself was asked for as JSON.
    """

    def __init__(
        self,
        open_channel: Callable[[bool], Channel],
        whole: Callable[[str, bool], str],
        *,
        mark: bytes,
        json_content: bool,
    ) -> None:
        self._open_channel = open_channel
        self._whole = whole
        self._mark = mark
        self._json_content = json_content
        self._runs: dict[Key, Run] = {}
        self._templates: list[Template] = []
        self._shift = 0
        self.response_id = ""
        self.next_number = 0
        self.plain: set[tuple[str | int, ...]] = set()

    def feed(self, frames: Sequence[Frame], send: Send) -> None:
        """Send what goes on in the place of the events that are at hand."""
        at = 0
        while at < len(frames):
            first = self._known(frames[at])
            if first is None:
                self._send(self._one(frames[at]), send)
                at += 1
                continue
            template = self._templates[0]
            like = [first, *template.match_from(frames, at + 1)]
            at += len(like)
            self._together(template, like, send)

    def flush(self, send: Send) -> None:
        """The stream is over: what its runs still hold."""
        self._send(self._flush(lambda _: True), send)

    def _send(self, frames: Iterable[Frame], send: Send) -> None:
        for frame in frames:
            send(frame)
        for run in self._runs.values():
            if run.channel.stopped is not None:
                raise run.channel.stopped

    def _known(self, frame: Frame) -> Seen | None:
        """What the first template that matches sees; it is put in front."""
        for i, template in enumerate(self._templates):
            if (seen := template.match(frame)) is not None:
                if i:
                    self._templates.insert(0, self._templates.pop(i))
                return seen
        return None

    def _together(self, template: Template, like: list[Seen], send: Send) -> None:
        """Events of one run one after the other: their text is looked at as one.

        Mostly it goes on as it came, less what is held back of its end, and so
        do all events but the last.
        """
        run: Run = template.owner
        pending = run.channel.pending
        given = pending + "".join([seen[4] for seen in like])
        made = run.channel.feed(given[len(pending) :])
        run.raw = like[-1][0].raw
        fill, shift = template.filled, self._shift
        if like[-1][3] >= 0:
            self.next_number = like[-1][3] + shift + 1
        if run.channel.stopped is not None or made + run.channel.pending != given:
            # Something was changed: it all goes with the first of them.
            send(fill(like[0], made, shift))
            if run.channel.stopped is not None:
                self.next_number = like[0][3] + shift + 1
                raise run.channel.stopped
            for seen in like[1:]:
                send(fill(seen, "", shift))
            return
        at = 0
        for i, seen in enumerate(like):
            text = seen[4]
            end = at + len(text) + (0 if i else len(pending))
            if not shift and end <= len(made) and (i or not pending):
                send(seen[0])
            else:
                send(fill(seen, made[at:end], shift))
            at = end

    def _one(self, frame: Frame) -> list[Frame]:
        """The events that go on in the place of one that is like none before."""
        if not frame.data or frame.data == b"[DONE]":
            return [*self._flush(lambda _: True), frame] if frame.data else [frame]
        try:
            event = orjson.loads(frame.data)
        except orjson.JSONDecodeError:
            text = frame.data.decode("utf-8", "replace")
            made = self._whole(text, False)  # noqa: FBT003 - a callback's second argument
            return [frame] if made == text else [Frame.of(made.encode(), frame.event)]
        if not isinstance(event, dict):
            return [frame]
        return self._event(frame, event)

    def _event(self, frame: Frame, event: dict[str, Any]) -> list[Frame]:
        closes, ends = closing(event)
        response = event.get("response")
        if isinstance(response, dict):
            self.response_id = str(response.get("id", ""))
        walk = _Walk(self, event, closes)
        each(event, [], walk.look)
        number = event.get("sequence_number")
        if not isinstance(number, int) or number > MAX_NUMBER:
            number = None
        data = None
        if walk.is_changed or self._mark in frame.data:
            data = rewrite(frame.data, walk.leaf, walk.key)
        before = self._flush(lambda key: key not in walk.fed and ends(key), number)
        if data is not None and walk.text_changed and b'"logprobs"' in data:
            data = without_logprobs(data)
        if number is not None:
            self.next_number = number + self._shift + 1
            if self._shift:
                data = numbered(data or frame.data, number + self._shift)
        made = frame if data is None else _with_data(frame, data)
        if len(walk.fed) == 1 and walk.is_like and not closes:
            key = next(iter(walk.fed))
            self._learn(frame.raw, self._runs[key])
        for key in walk.fed:
            self._runs[key].raw = made.raw
        return [*before, made]

    def _learn(self, raw: bytes, run: Run) -> None:
        template = Template.of(raw, str(run.path[-1]), run)
        if template is not None:
            self._templates.insert(0, template)
            del self._templates[MAX_TEMPLATES:]

    def run(self, key: Key, path: Path) -> Run:
        """The run of ``key``, begun if it is new."""
        found = self._runs.get(key)
        if found is None:
            is_json = is_name(path) or (isinstance(key[0], str) and "arguments" in key[0])
            if self._json_content and (
                path[-1] == "content" or key[0] == "response.output_text.delta"
            ):
                is_json = True
            found = self._runs[key] = Run(self._open_channel(is_json), list(path), b"")
        return found

    def whole(self, path: Path, text: str) -> str:
        """A string that comes whole."""
        is_json = is_name(path) or (self._json_content and path[-1] in ("content", "text"))
        return self._whole(text, is_json)

    def _flush(self, is_meant: Callable[[Key], bool], number: int | None = None) -> list[Frame]:
        """Events for what the runs meant still hold; they are not over by that."""
        frames: list[Frame] = []
        for key, run in self._runs.items():
            if not is_meant(key) or not (held := run.channel.flush()):
                continue
            if isinstance(key[0], str):
                at = None if number is None else number + self._shift
                frames.append(piece_of_item(run.raw, held, at))
                if number is not None:
                    self._shift += 1
            else:
                frames.append(piece_of_choice(run.raw, run.path, key, held))
        return frames


class _Walk:
    """The strings of one event, each to its run or rewritten whole.

    They are looked at as they were parsed; the event's bytes are gone through
    only if something has changed, and then what was found is put into them.
    """

    __slots__ = ("_closes", "_event", "_made", "_rewriter", "fed", "is_changed", "is_like",
                 "text_changed")  # fmt: skip

    def __init__(
        self, rewriter: Rewriter, event: dict[str, Any], closes: set[str | int | None]
    ) -> None:
        self._rewriter = rewriter
        self._event = event
        self._closes = closes
        self._made: deque[tuple[str, str]] = deque()
        self.fed: set[Key] = set()
        self.is_changed = False
        self.is_like = True  # another event with the same bytes around its text
        self.text_changed = False

    def look(self, path: Path, text: str) -> None:
        """One string value."""
        known = (*path, text)
        if known in self._rewriter.plain:
            self._made.append((text, text))
            return
        made = text
        if "logprobs" in path:
            self.is_like = False
        elif (key := key_of(self._event, path)) is not None:
            made = self._piece(key, path, text)
            self.text_changed = self.text_changed or made != text
        else:
            if not is_structural(path, text):
                made = self._rewriter.whole(path, text)
            if made != text:
                self.is_like = False
                self.text_changed = True
            elif len(self._rewriter.plain) < MAX_PLAIN:
                # Ids and names come again with every event.
                self._rewriter.plain.add(known)
        self.is_changed = self.is_changed or made != text
        self._made.append((text, made))

    def _piece(self, key: Key, path: Path, text: str) -> str:
        run = self._rewriter.run(key, path)
        self.fed.add(key)
        self.is_like = self.is_like and bool(text)  # not a mere beginning
        made = run.channel.feed(text)
        return made + run.channel.flush() if key[0] in self._closes else made

    def leaf(self, path: Path, text: str) -> str:
        """The same in the bytes."""
        if self._made and self._made[0][0] == text:
            return self._made.popleft()[1]
        # A key that is given twice: only the last of its values was parsed.
        return self._rewriter.whole(path, text)

    def key(self, path: Path, text: str) -> str:
        """One key that is no plain name."""
        made = self._rewriter.whole(path, text)
        self.is_like = self.is_like and made == text
        return made


def _with_data(frame: Frame, data: bytes) -> Frame:
    at = frame.raw.find(frame.data)
    if at < 0:
        return Frame.of(data.replace(b"\n", b" "), frame.event)
    return Frame(frame.raw[:at] + data + frame.raw[at + len(frame.data) :], data, frame.event)
