"""Commands that ask nobody: what they print, and what they refuse."""

import io
from hashlib import sha256

import pytest

from proxy.__main__ import main

CONFIG = """\
upstreams: {up: {kind: generic, base_url: "http://127.0.0.1:1/v1"}}
routes: [{name: all, match: {model: "*"}, targets: [{upstream: up}]}]
"""


def run(capsys, *arguments):
    code = main([str(each) for each in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize("given", ["", "\n", "  \nsk-1\n"])
def test_the_digest_of_nothing_is_refused(monkeypatch, capsys, given):
    monkeypatch.setattr("sys.stdin", io.StringIO(given))

    code, out, err = run(capsys, "keys", "digest")

    assert (code, out) == (2, "")
    assert err == "sidestream: there is no key on the first line of standard input\n"


def test_the_digest_of_a_key_is_of_the_key_alone(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(" sk-1\n"))

    assert run(capsys, "keys", "digest")[:2] == (0, f"sha256: {sha256(b'sk-1').hexdigest()}\n")


@pytest.mark.parametrize(
    ("to", "why"),
    [("gone/usage.jsonl", "there is no folder {}/gone"), ("there", "{}/there is a folder")],
)
def test_a_ledger_that_cannot_be_written_is_noted_before_the_first_request(
    tmp_path, capsys, monkeypatch, to, why
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG + f"log: {{usage: {{to: {to}}}}}\n")

    code, out, err = run(capsys, "check", "--config", path)

    assert (code, out) == (0, f"{path}: good\n")
    assert err == f"note: {path}:3:14: $.log.usage.to: {why}, so no use will be kept\n".format(
        tmp_path
    )


def test_a_ledger_that_can_be_written_is_no_matter(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG + "log: {usage: {to: usage.jsonl}}\n")

    assert run(capsys, "check", "--config", path) == (0, f"{path}: good\n", "")
    assert not (tmp_path / "usage.jsonl").exists()
