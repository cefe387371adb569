"""Commands that ask nobody: what they print, and what they refuse."""

import io
from hashlib import sha256

import pytest

from proxy.__main__ import main


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
