"""Whose fault an error is that the upstream wrote itself."""

import pytest

from proxy.core.exchange import End
from proxy.observe.faults import passed_on
from tests.kit import exchange


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, ("client", "upstream_400")),
        (401, ("upstream", "upstream_401")),
        (404, ("client", "upstream_404")),
        (429, ("upstream", "upstream_429")),
        (500, ("upstream", "upstream_500")),
        (503, ("upstream", "upstream_503")),
        (499, ("upstream", "upstream_4xx")),
        (529, ("upstream", "upstream_5xx")),
        (999, ("upstream", "upstream_5xx")),
        (200, None),
    ],
)
def test_a_status_says_whose_fault_it_is(status, said):
    x = exchange(status=status, upstream_status=status)

    assert passed_on(x, End("complete")) == said
    assert passed_on(x, End("client_gone")) is None


def test_a_key_that_the_client_sent_is_the_clients():
    x = exchange(status=401, upstream_status=401, lends_key=True)

    assert passed_on(x, End("complete")) == ("client", "upstream_401")


def test_an_error_that_the_client_never_saw_is_none():
    assert passed_on(exchange(status=200, upstream_status=503), End("complete")) is None


def test_an_error_event_in_a_stream_is_the_upstreams():
    x = exchange(status=200, upstream_status=200, finish="error")

    assert passed_on(x, End("complete")) == ("upstream", "upstream_error_event")
