"""Settings become the values that requests meet."""

import pytest

from proxy.compile import callers_of, specs_of
from proxy.config.load import load
from proxy.upstream.gate import Bounds

TEXT = """\
{more}
upstreams:
  hosted: {{concurrency: {{max: 9, queue: 9, adaptive: true}}}}
  own: {{kind: vllm, base_url: "http://a/v1", concurrency: {{max: 1, adaptive: true, queue_timeout: 2s}}}}
  fixed: {{kind: ollama, concurrency: {{max: 64}}}}
  free: {{}}
routes: [{{name: all, targets: [{{upstream: free}}]}}]
tenants:
  first: {{anonymous: true}}
  second: {{keys: [{{sha256: "{digest}"}}], priority: batch, weight: 3}}
"""


@pytest.fixture
def compiled(tmp_path):
    def settings(more=""):
        path = tmp_path / "c.yaml"
        path.write_text(TEXT.format(more=more, digest="0" * 64))
        return load(path, {}).settings

    return settings


def test_hosted_upstreams_adapt_to_refusals_and_ones_own_to_slowness(compiled):
    bounds = {name: spec.bounds for name, spec in specs_of(compiled()).items()}

    assert bounds == {
        "hosted": Bounds(max=9, queue=9, queue_s=5, adapts="aimd"),
        "own": Bounds(max=1, queue=256, queue_s=2, adapts="gradient"),
        "fixed": Bounds(max=64, queue=256, queue_s=5, adapts=""),
        "free": None,
    }


def test_workers_divide_what_an_upstream_is_given(compiled):
    specs = specs_of(compiled("workers: 2"))

    assert specs["hosted"].bounds == Bounds(max=4, queue=5, queue_s=5, adapts="aimd")
    assert specs["own"].bounds.max == 1


def test_priority_and_weight_are_the_tenants(compiled):
    callers, _, _ = callers_of(compiled())

    assert (callers["first"].priority, callers["first"].weight) == (0, 1)
    assert (callers["second"].priority, callers["second"].weight) == (1, 3)
