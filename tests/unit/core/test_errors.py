"""Every error in the tree is fit for the wire."""

from pathlib import Path

import orjson
import pytest

import proxy.app
from proxy.core.errors import Overloaded, ProxyError
from proxy.wire.faults import error_body, error_headers, stream_error

TYPES = {"invalid_request_error", "permission_error", "server_error", "upstream_error", "requests",
         "tokens", "insufficient_quota"}  # fmt: skip


RUNBOOK = Path(proxy.app.__file__).with_name("RUNBOOK.md").read_text()


def tree(cls):
    yield cls
    for sub in cls.__subclasses__():
        yield from tree(sub)


@pytest.mark.parametrize("cls", list(tree(ProxyError)), ids=lambda c: c.__name__)
def test_every_error_is_fit_for_the_wire(cls):
    """A new subclass is checked the moment it exists."""
    assert proxy.app
    assert 400 <= cls.status < 600
    # HTTP wants a 504 for who asks for a cached answer or none; nobody has failed.
    assert (cls.fault == "client") == (cls.status < 500 or cls.code == "not_cached")
    assert cls.type in TYPES
    assert cls.__doc__, "say in one line when it is raised"
    assert set(orjson.loads(error_body(cls("x")))["error"]) == {"message", "type", "param", "code"}
    assert not cls.code or f"`{cls.code}`" in RUNBOOK, "say in the runbook what to do about it"


@pytest.mark.parametrize(
    ("wait", "headers"),
    [
        (0.0, {b"retry-after": b"1", b"retry-after-ms": b"1"}),
        (2.5, {b"retry-after": b"3", b"retry-after-ms": b"2500"}),
        (90.0, {b"retry-after": b"90", b"retry-after-ms": b"90000", b"x-should-retry": b"false"}),
    ],
)
def test_waits_are_written_as_the_sdks_read_them(wait, headers):
    assert dict(error_headers(Overloaded("full", retry_after=wait))) == headers


def test_stream_errors_stand_in_both_forms():
    error = Overloaded("full")

    chat = stream_error(error, "chat")
    responses = stream_error(error, "responses", 7)

    assert orjson.loads(chat[6:])["error"]["code"] == "overloaded"
    event = orjson.loads(responses.split(b"data: ")[1])
    assert (event["type"], event["sequence_number"]) == ("error", 7)
    assert event["error"]["message"] == event["message"] == "full"
