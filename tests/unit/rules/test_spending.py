"""What is charged, by how it ended."""

import pytest

from proxy.core.exchange import End, Usage
from proxy.rules.spending import used_by
from proxy.wire.endpoints import EXACT
from tests.kit import exchange

ESTIMATE = Usage(40, 500, estimated=True)
COUNTED = Usage(38, 12)


@pytest.mark.parametrize(
    ("end", "fields", "expected"),
    [
        ("complete", {"usage": COUNTED, "upstream_status": 200}, COUNTED),
        ("client_gone", {"usage": COUNTED, "upstream_status": 200}, COUNTED),
        ("complete", {"upstream_status": 200}, ESTIMATE),
        ("complete", {"upstream_status": 200, "stream": True, "events": 10}, Usage(40, 9, estimated=True)),
        ("client_gone", {"upstream_status": 200, "stream": True, "events": 4}, Usage(40, 3, estimated=True)),
        ("client_gone", {"upstream_status": 200}, Usage(40, 0, estimated=True)),
        ("client_gone", {"upstream_status": 0}, Usage(40, 0, estimated=True)),
        ("client_gone", {"attempts": 0}, None),
        ("refused", {"attempts": 0}, None),
        ("complete", {"upstream_status": 500}, Usage(estimated=True)),
        ("client_gone", {"upstream_status": 429}, Usage(estimated=True)),
        ("upstream_broke", {"upstream_status": 0}, Usage(estimated=True)),
        ("upstream_broke", {"upstream_status": 200, "stream": True, "events": 6}, Usage(40, 5, estimated=True)),
        ("upstream_broke", {"upstream_status": 200}, Usage(estimated=True)),
        ("refused", {"upstream_status": 200}, Usage(estimated=True)),
        ("complete", {"upstream_status": 200, "estimate": None}, Usage(estimated=True)),
    ],
)  # fmt: skip
def test_what_is_charged(end, fields, expected):
    x = exchange(**{"attempts": 1, "estimate": ESTIMATE} | fields)

    assert used_by(x, End(end)) == expected


def test_a_responses_stream_begins_with_more_events_that_say_nothing():
    x = exchange(endpoint=EXACT["/v1/responses"], attempts=1, estimate=ESTIMATE, upstream_status=200,
                 stream=True, events=10)  # fmt: skip

    assert used_by(x, End("client_gone")).completion == 6
