"""``sidestream cache erase | purge``: asks the running program's admin API."""

from __future__ import annotations

import argparse
import http.client
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from proxy.config.load import any_price, load

TIMEOUT_S: Final = 10.0

COMMAND: Final = "sidestream-command"
"""Who asks: whoever answers then speaks of options, and not of a query."""

_FROM: Final = (
    "the address is admin.listen of the configuration: name that of the running program with "
    "--config, or the address itself with --admin"
)

_TOKEN: Final = {
    401: "the admin token is missing or another: set SIDESTREAM_ADMIN_TOKEN, or admin.token in the "
    "configuration that --config names, to that of the running program",
    403: "the running program has no admin token: set SIDESTREAM_ADMIN_TOKEN, or admin.token in "
    "its configuration, for it and for this command",
}
"""What its answer says to other clients names no variable."""


def add_command(commands: Any, config: Path | None) -> Any:
    """Make the command known; ``config`` is where the admin listener is read from.

    Gives its actions, so that others can stand beside these.
    """
    cache = commands.add_parser("cache", help="erase or purge what is cached")
    actions = cache.add_subparsers(required=True, metavar="ACTION")
    erase = actions.add_parser("erase", help="make all that is kept for a tenant unreadable")
    erase.add_argument("--tenant", required=True)
    purge = actions.add_parser("purge", help="forget one answer, or all of a route")
    purge.add_argument("--route", default="")
    purge.add_argument("--tenant", default="", help="whose answer; none: of a global cache")
    purge.add_argument("--key", default="", help="as `cache-status` shows it")
    for one, path in ((erase, "erase"), (purge, "purge")):
        one.add_argument("--config", type=Path, default=config, metavar="FILE",
                         help="where the admin listener and its token are read from")  # fmt: skip
        one.add_argument("--force", action="store_true",
                         help="also for a tenant that is configured no more")  # fmt: skip
        one.add_argument("--admin", default="", metavar="URL", help="the admin listener itself")
        one.set_defaults(run=_run, path=path)
    return actions


def _run(options: argparse.Namespace, given: list[str]) -> int:
    settings = load(options.config, os.environ, any_price).settings
    token = os.environ.get("SIDESTREAM_ADMIN_TOKEN", "")
    if settings.admin.token:
        token = settings.admin.token.reveal()
    base = options.admin or f"http://{settings.admin.listen}"
    wanted = {name: getattr(options, name, "") for name in ("tenant", "route", "key")}
    wanted["force"] = "true" if options.force else ""
    query = urlencode({name: value for name, value in wanted.items() if value})
    try:
        request = urllib.request.Request(  # noqa: S310 - an address of the operator's own
            f"{base}/api/cache/{options.path}?{query}",
            method="POST",
            headers={"authorization": f"Bearer {token}", "user-agent": COMMAND},
        )
        status, words, body = _answered(request)
        if status != HTTPStatus.OK:
            sys.stderr.write(f"sidestream: {_TOKEN.get(status) or _message(body) or words}\n")
            return 1
        sys.stdout.write(_in_words(wanted, orjson.loads(body)) + "\n")
    except OSError as exc:
        reason = getattr(exc, "reason", exc)
        why = getattr(reason, "strerror", None) or reason
        sys.stderr.write(f"sidestream: {base} cannot be reached: {why}; {_FROM}\n")
        return 1
    except (ValueError, LookupError, TypeError, AttributeError, http.client.HTTPException):
        sys.stderr.write(f"sidestream: {base} does not speak as an admin listener does; {_FROM}\n")
        return 1
    return 0


def _answered(request: urllib.request.Request) -> tuple[int, str, bytes]:
    """Status, its words and the body of an answer, whichever status it is."""
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310 - as above
    except urllib.error.HTTPError as exc:
        answer = exc
    with answer:
        return answer.status, answer.reason, answer.read()


def _in_words(wanted: Mapping[str, str], done: dict[str, Any]) -> str:
    """What was done, in one line for all workers."""
    tenant, route, key = (wanted[name] for name in ("tenant", "route", "key"))
    what = "purged" if route or key else "erased"
    each = [one[what] for one in done.get("workers", (done,)) if one]
    if route:
        return f"purged: no answer of route {route!r} is served any more"
    if not key:
        return f"erased: nothing that was kept for tenant {tenant!r} can be read any more"
    here = sum(one["here"] for one in each)
    stores = [one["store"] for one in each if one["store"] is not None]
    processes = f" of {len(each)} workers" if len(each) > 1 else ""
    places = [f"{here} in memory{processes}"]
    if stores:
        places.append(f"{sum(stores)} in the store")
    if here or any(stores):
        return f"purged: {', '.join(places)}"
    return f"nothing was kept under that key: {', '.join(places)}"


def _message(body: bytes) -> str:
    """What an answer says is wrong; of several workers' the first that says it."""
    try:
        said = orjson.loads(body)
        all_of_them = [one for one in said.get("workers", (said,)) if one and "error" in one]
        return str(all_of_them[0]["error"]["message"])
    except (orjson.JSONDecodeError, AttributeError, KeyError, IndexError, TypeError):
        return ""
