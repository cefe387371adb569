"""What a configuration may not say, each with its line and what is wrong with it."""

import pytest

from proxy.config.load import load
from proxy.config.nodes import MAX_TEXT, ConfigError
from tests.program import DIGEST

BASE = """\
upstreams: {a: {base_url: "http://a/v1"}}
routes: [{name: r, match: {model: "gpt-*"}, targets: [{upstream: a}]}]
"""
ACME = f"tenants: {{acme: {{keys: [{{sha256: {DIGEST}}}], limits: l}}}}\n"


def problems(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, {"KEY": "x"})
    return str(caught.value).replace(str(path), "c.yaml")


def limits(said):
    return BASE + ACME + f"limits: {{l: {{{said}}}}}\n"


BUDGET = "{usd: %s, per: month%s}"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (BASE + "version: 2\n", "this program reads version 1"),
        (BASE + "workers: 65\n", "workers must be between 1 and 64"),
        (BASE + "workers: 0\n", "workers must be between 1 and 64"),
        (BASE + "workers: 2\nlisten: unix:/run/s\n", "$.listen: a unix socket cannot be shared"),
        (BASE + "routes_: 1\n", "did you mean"),
        (BASE + "cache: {idempotency: {}}\n", "c.yaml:3:22: $.cache.idempotency: 'idempotency' is the cache of"),
        (BASE + "tenants: 5\n", "c.yaml:3:10: $.tenants: expected a mapping of names"),
        ("routes: 5\nupstreams: {a: {base_url: http://a/v1}}\n", "$.routes: expected a list"),
        (BASE.replace("http://a/v1", "http://a:70000/v1"), "the port of a base URL is at most 65535"),
        (BASE.replace("http://a/v1", "http://a:0/v1"), "the port of a base URL is not 0"),
        (BASE.replace("http://a/v1", "http://u:hidden@a/v1"), "a base URL holds no credentials"),
        (BASE.replace('v1"', 'v1", headers: {x: "a\\nb"}'), "the value of header x has a line break"),
        (BASE.replace('v1"', 'v1", headers: {"x y": "a"}'), "'x y' is no header name"),
        (BASE.replace('v1"', 'v1", api_key: "a\\nhidden"'), "api_key has a line break"),
        (limits("concurrency: 0"), "concurrency must be above 0"),
        (limits("max_cost_per_request: 0"), "max_cost_per_request must be above 0"),
        (limits("tokens_per_day: 99999999999M"), "beyond what can be counted exactly"),
        (limits(f"budgets: [{BUDGET % ('0', '')}]"), "usd must be above 0"),
        (limits(f"budgets: [{BUDGET % ('10000000', '')}]"), "usd is at most nine million"),
        (limits(f"budgets: [{BUDGET % ('1', '')}, {BUDGET % ('2', '')}]"),
         "a budget per month by tenant is given already, in line 4"),
        (limits(f"budgets: [{BUDGET % ('1', ', cap: 0')}]"), "cap must be above 0"),
        (limits("requests: {rate: 1/min, burst: 0}"), "burst must be above 0"),
        (limits(f"budgets: [{BUDGET % ('1', '')},\n {BUDGET % ('2', '')}]"),
         "c.yaml:5:2: $.limits.l.budgets[1]: a budget per month by tenant is given already, in line 4"),
        (limits(f"budgets: [{BUDGET % ('1', ', on_exceeded: {route_to: x-1}')}]"),
         "no route serves the model 'x-1'"),
        (limits(f"budgets: [{BUDGET % ('1', ', on_exceeded: {route_to: gpt-nobody-prices}')}]"),
         "'gpt-nobody-prices' has no price, but there are budgets in USD; add it to `prices`"),
        (BASE + "store: {url: redis://h, lease: 0s}\n", "lease must be at least 1s"),
        (BASE + "store: {url: redis://h, timeout: 6s}\n", "timeout must be between 1ms and 5s"),
        (BASE + "log: {usage: {to: ''}}\n", "to names a file"),
        (BASE + "alerts: {webhook: 'ftp://hidden'}\n", "webhook is a URL like https://host/path"),
        (BASE + "guards: {g: {kind: patterns, patterns: [{name: a, pattern: '('}]}}\n", "RE2 does not take"),
        (BASE + "guards: {g: {kind: patterns, patterns: [" + ", ".join(
            f"{{name: c{i}, pattern: 'k{i}[a-z]{{900}}'}}" for i in range(400)) + "]}}\n",
         "c.yaml:3:13: $.guards.g.patterns: together these are larger than RE2 takes"),
        (BASE + "guards: {g: {kind: http, url: 'http://u:hidden@h/x'}}\n", "credentials go into headers"),
        (BASE + "guards: {g: {kind: http, url: 'http://h/x', headers: {'x y': a}}}\n",
         "this cannot be sent as a header"),
        (BASE + "#" * MAX_TEXT, "the file is over"),
        ("a: " + "[" * 300_000, "nested too deeply"),
        ("a:\n" + "- " * 300_000, "nested too deeply"),
        (BASE + "a: \x07\n", "c.yaml:3:1: $: a character that YAML does not allow"),
    ],
)  # fmt: skip
def test_what_may_not_be_is_told_where_it_stands(tmp_path, text, what):
    said = problems(tmp_path, text)

    assert what in said
    assert said.startswith("c.yaml")
    assert "hidden" not in said
