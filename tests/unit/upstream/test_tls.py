"""TLS files of upstreams: read again when they change, told where they are of no use."""

import asyncio

import pytest

from proxy.__main__ import main
from proxy.compile import specs_of
from proxy.config.load import load, state_of
from proxy.observe.queues import Queues
from proxy.upstream.fleet import Fleet
from tests import certificates

TEXT = """\
upstreams:
  up:
    kind: generic
    base_url: "https://127.0.0.1:1/v1"
    tls: {{ca: "{0}/cert.pem", cert: "{0}/cert.pem", key: "{0}/key.pem"}}
routes: [{{name: all, targets: [{{upstream: up}}]}}]
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "sidestream.yaml"
    path.write_text(TEXT.format(tmp_path))
    certificates.write(tmp_path, "one")
    return path


def _context(fleet, path):
    made = fleet.upstreams(specs_of(load(path, {}).settings))
    fleet.adopt()
    return made["up"].endpoints[0].pool.origin.tls


def _names(context):
    return [found["subject"][0][0][1] for found in context.get_ca_certs() if "subject" in found]


async def test_connections_are_kept_until_what_tls_files_hold_changes(tmp_path, path):
    fleet = Fleet(asyncio.get_running_loop(), lambda: 0.0, Queues(list))
    one = _context(fleet, path)
    kept = _context(fleet, path)
    certificates.write(tmp_path, "two")
    two = _context(fleet, path)

    assert kept is one
    assert _names(one) == ["one"]
    assert _names(two) == ["two"]


def test_tls_files_are_watched(tmp_path, path):
    loaded = load(path, {})
    assert state_of(loaded.watched) == loaded.state
    certificates.write(tmp_path, "two")

    assert state_of(loaded.watched) != loaded.state


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "key.pem").unlink(), "tls.key: No such file or directory"),
        (lambda folder: (folder / "cert.pem").write_text("x"), "tls.ca: there is no PEM"),
        (lambda folder: (folder / "key.pem").write_text("x"), "tls.cert: no PEM certificate with"),
        (
            lambda folder: certificates.write(folder, "x", password=b"secret"),
            "tls.cert: no PEM certificate with",
        ),
    ],
    ids=["missing", "no certificate", "no key", "password"],
)
def test_a_tls_file_of_no_use_is_a_problem_with_a_place(tmp_path, path, capsys, spoil, said):
    assert main(["check", "--config", str(path)]) == 0
    spoil(tmp_path)

    assert main(["check", "--config", str(path)]) == 1
    assert f"{path}:5:10: $.upstreams.up.{said}" in capsys.readouterr().err


def test_a_tls_file_that_no_connection_needs_is_none_that_matters(path):
    path.write_text(path.read_text().replace("https:", "http:").replace("key.pem", "none.pem"))

    assert main(["check", "--config", str(path)]) == 0
