"""Redaction as it is written in YAML, and the command that tries it."""

import io

import orjson
import pytest

from proxy.__main__ import main
from proxy.compile import redactions_of
from proxy.config.load import load
from proxy.config.nodes import ConfigError

HEAD = """\
upstreams: {main: {base_url: http://127.0.0.1:1/v1}}
routes: [{name: all, match: {model: "*"}, targets: [{upstream: main}]}]
redaction:
  a:
"""


def loaded(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(HEAD + text)
    return path, load(path, {}).settings


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("{name: x, pattern: '(?=a)'}", "c.yaml:6:7: $.redaction.a.rules[0].pattern: RE2 cannot take this pattern: "),
        ("{name: x, pattern: 'a', tests: {match: [a, b]}}", "c.yaml:6:38: $.redaction.a.rules[0].tests.match[1]: the rule finds nothing in this"),
        ("{name: x, terms: [a], tests: {no_match: [a]}}", "c.yaml:6:36: $.redaction.a.rules[0].tests.no_match[0]: the rule finds something in this"),
        ("{name: x, terms: ['']}", "c.yaml:6:7: $.redaction.a.rules[0].terms: the terms are empty"),
    ],
)  # fmt: skip
def test_a_rule_is_tried_when_it_is_loaded(tmp_path, rule, problem):
    _, settings = loaded(tmp_path, f"    rules:\n    - {rule}\n")

    with pytest.raises(ConfigError) as caught:
        redactions_of(settings)

    assert str(caught.value).replace(str(tmp_path) + "/", "").startswith(problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("    detect: [email]\n    actions: {emial: mask}\n", "no kind looked for is named 'emial'; did you mean 'email'?"),
        ("    rules: [{name: email, pattern: a}]\n", "something else is called 'email' already"),
        ("    rules: [{name: x, pattern: a}, {name: x, pattern: b}]\n", "something else is called 'x' already"),
        ("    key: abc\n", "key is 32 bytes in base64"),
        ("    http: {url: ftp://x}\n", "url must begin with http"),
    ],
)  # fmt: skip
def test_names_that_do_not_meet_are_told(tmp_path, text, problem):
    with pytest.raises(ConfigError, match=problem):
        loaded(tmp_path, text)


def run(monkeypatch, capsys, text, *arguments):
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    code = main(["redact", *arguments])
    return code, *capsys.readouterr()


def test_the_command_shows_what_a_provider_would_get(tmp_path, monkeypatch, capsys):
    path, _ = loaded(
        tmp_path, "    {detect: [email], action: mask}\n  b: {detect: [secrets], action: block}\n"
    )

    assert run(monkeypatch, capsys, "to a@b.co\n", "--config", str(path), "--rules", "a") == (
        0, "to *@*.**\n", "email (address): mask: 'a@b.co'\n",
    )  # fmt: skip
    code, out, err = run(
        monkeypatch, capsys, "AKIA" + "B" * 16, "--config", str(path), "--rules", "b"
    )
    assert (code, out) == (1, "")
    assert "refused: the request was stopped by redaction 'b': it holds secrets" in err
    assert run(monkeypatch, capsys, "", "--config", str(path))[0] == 2


def test_without_a_configuration_everything_is_looked_for(monkeypatch, capsys):
    body = orjson.dumps({"messages": [{"role": "user", "content": "I am Mr. Jon Doe"}]}).decode()

    code, out, _ = run(monkeypatch, capsys, body, "--json")

    made = orjson.loads(out)
    assert code == 0
    assert orjson.loads(made["text"])["messages"][0]["content"].startswith("I am Mr. PII_PERSON_")
    assert made["findings"] == [
        {"kind": "person", "form": "by title", "action": "pseudonymise", "text": "Jon Doe"}
    ]
