"""``sidestream keys``: make a key for a tenant, or the digest of one."""

from __future__ import annotations

import argparse
import secrets
import sys
from hashlib import sha256
from typing import Any


def add_command(commands: Any) -> None:
    """Make the command known."""
    keys = commands.add_parser("keys", help="make a key for a tenant")
    keys.add_argument("action", choices=["new", "digest"],
                      help="new: make one; digest: of a key on standard input")  # fmt: skip
    keys.set_defaults(run=_run)


def _run(options: argparse.Namespace, _given: list[str]) -> int:
    is_new = options.action == "new"
    key = f"sk-ss-{secrets.token_urlsafe(32)}" if is_new else sys.stdin.readline().strip()
    if not key:
        sys.stderr.write("sidestream: there is no key on the first line of standard input\n")
        return 2
    if is_new:
        sys.stdout.write(f"key (give it to the client, it is not kept): {key}\n")
    sys.stdout.write(f"sha256: {sha256(key.encode()).hexdigest()}\n")
    return 0
