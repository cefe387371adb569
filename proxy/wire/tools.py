"""Tools as requests offer them and as models call them.

A tool that is a function, or of the client's own making, goes by its name; one
that the provider runs goes by its type (``web_search``, ``mcp``,
``code_interpreter``), whatever it is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from proxy.core.errors import BadRequest

_NAMED: Final = frozenset({"function", "custom"})
_CALLS_BY_NAME: Final = frozenset({"function_call", "custom_tool_call"})


class Mention(NamedTuple):
    """A tool's name and the field of the request in which it stands."""

    name: str
    param: str


def mentions_in(body: dict[str, Any]) -> Iterator[Mention]:
    """Every tool that a request offers, demands or says was called.

    Raises ``BadRequest`` for a tool whose name cannot be read.
    """
    for field in ("tools", "functions"):
        for i, tool in enumerate(_list(body.get(field), field)):
            for name in _names(tool, field):
                yield Mention(name, f"{field}[{i}]")
    for field in ("tool_choice", "function_call"):
        choice = body.get(field)
        if isinstance(choice, dict):
            # "allowed_tools" holds a list of its own.
            inner = choice.get("allowed_tools")
            listed = inner.get("tools") if isinstance(inner, dict) else choice.get("tools")
            if listed is not None:
                for tool in _list(listed, field):
                    yield from (Mention(name, field) for name in _names(tool, field))
            elif choice.get("type") not in ("auto", "none", "any", "required"):
                yield from (Mention(name, field) for name in _names(choice, field))


def history_of(body: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """For each message that holds calls, its field and the names called."""
    for field in ("messages", "input"):
        items = body.get(field)
        for i, item in enumerate(items if isinstance(items, list) else ()):
            if isinstance(item, dict) and (names := [name for _, name in calls_in(item)]):
                yield f"{field}[{i}]", names


def _list(value: object, param: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadRequest(f"{param} must be a list", param=param)
    return value


def _names(tool: object, param: str) -> list[str]:
    """All names that a reader could take for this tool's."""
    if not isinstance(tool, dict):
        raise BadRequest("a tool must be an object", param=param)
    kind = tool.get("type", "function")
    if not isinstance(kind, str):
        raise BadRequest("a tool's type must be text", param=param)
    if kind in _NAMED or (kind == "tool" and "name" in tool):
        inner = [tool[k] for k in _NAMED if isinstance(tool.get(k), dict)]
        names = [d["name"] for d in (tool, *inner) if "name" in d]
    else:
        names = [kind]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise BadRequest("a tool must have a name", param=param)
    return names


class Call(NamedTuple):
    """Part of a call: which one, and what it says of its name."""

    key: tuple[object, ...]
    name: str


def calls_in(said: dict[str, Any]) -> Iterator[Call]:
    """The calls in a message, a delta, or an output item of any of the APIs."""
    calls = said.get("tool_calls")
    for i, call in enumerate(calls if isinstance(calls, list) else ()):
        if isinstance(call, dict):
            at = call.get("index", i)
            kinds = [call[k] for k in _NAMED if isinstance(call.get(k), dict)]
            yield Call(("tool", at if isinstance(at, int) else i), _joined(kinds))
    if isinstance(said.get("function_call"), dict):
        yield Call(("function",), _joined([said["function_call"]]))
    kind = said.get("type")
    if isinstance(kind, str):
        if kind in _CALLS_BY_NAME:
            yield Call(("item",), _name(said))
        elif kind.endswith("_call"):
            yield Call(("item",), kind.removesuffix("_call"))
        elif kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
            yield Call(("item",), _name(said))
    content = said.get("content")
    for i, part in enumerate(content if isinstance(content, list) else ()):
        if isinstance(part, dict) and str(part.get("type")).endswith("tool_use"):
            yield Call(("part", i), _name(part))


def _joined(values: list[dict[str, Any]]) -> str:
    return "".join(map(_name, values))


def _name(value: dict[str, Any]) -> str:
    name = value.get("name")
    return name if isinstance(name, str) else ""


def answer_calls(event: dict[str, Any]) -> Iterator[Call]:
    """The calls in an event of a stream or in a whole answer.

    The names of calls with the same key are pieces of one name, in a stream
    of chat; elsewhere a name comes whole.
    """
    choices = event.get("choices")
    for i, choice in enumerate(choices if isinstance(choices, list) else ()):
        if isinstance(choice, dict):
            at = choice.get("index", i)
            for name in ("delta", "message"):
                if isinstance(choice.get(name), dict):
                    for call in calls_in(choice[name]):
                        yield Call((at if isinstance(at, int) else i, *call.key), call.name)
    kind = event.get("type")
    if kind in ("response.output_item.added", "response.output_item.done"):
        yield from _numbered(event.get("item"), event.get("output_index"))
    elif kind == "content_block_start":
        yield from _numbered(event.get("content_block"), event.get("index"))
    elif kind == "message":
        yield from calls_in(event)
    response = event if event.get("object") == "response" else event.get("response")
    output = response.get("output") if isinstance(response, dict) else None
    for i, item in enumerate(output if isinstance(output, list) else ()):
        yield from _numbered(item, i)


def _numbered(item: object, number: object) -> Iterator[Call]:
    if isinstance(item, dict):
        for call in calls_in(item):
            yield Call((number if isinstance(number, int) else 0, *call.key), call.name)


def choices_in(event: dict[str, Any]) -> set[object]:
    """The numbers of the choices that an event goes on with."""
    choices = event.get("choices")
    items = choices if isinstance(choices, list) else []
    numbers = [c.get("index", i) for i, c in enumerate(items) if isinstance(c, dict)]
    return {number if isinstance(number, int) else i for i, number in enumerate(numbers)}


def is_growing(event: dict[str, Any]) -> bool:
    """Whether names in this event may go on in the next."""
    return isinstance(event.get("choices"), list)
