"""``sidestream usage``: the billing ledger as a table, a chart, JSON or CSV.

Reads the file that ``log.usage`` names, or the streams of the store.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import logging
import re
import shutil
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from proxy.accounts import ledger_on
from proxy.config.schema import Settings
from proxy.config.units import Duration
from proxy.edge.server import SystemClock
from proxy.rules.usage import DIMENSIONS, Tally, Totals
from proxy.shared import open_shared
from proxy.stores.pipe import StoreDown
from proxy.stores.usage_file import files_of

log = logging.getLogger("sidestream.usage")

MEASURES: Final = ("cost", "tokens", "requests")
_TITLES: Final = ("requests", "input", "cached", "output", "cost USD")
_BLOCKS: Final = " ▏▎▍▌▋▊▉█"
PAGE: Final = 1000


class NoLedger(Exception):
    """There is no billing ledger, or it cannot be read; the message says what to do."""


def add_usage(commands: Any) -> argparse.ArgumentParser:
    """The command's options."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "usage", help="who used how much, and what it cost"
    )
    parser.add_argument("--by", default="tenant,model", metavar="NAMES",
                        help=f"what to add up by, of {', '.join(DIMENSIONS)}")  # fmt: skip
    parser.add_argument("--since", default="30d", metavar="WHEN",
                        help="from: 2026-11-01, 2026-11-01T12:00 (UTC), or 7d ago")  # fmt: skip
    parser.add_argument("--until", default="", metavar="WHEN", help="to before then; default now")
    parser.add_argument("--tenant", default="", help="of this tenant only")
    parser.add_argument("--file", type=Path, metavar="FILE",
                        help="read this ledger instead of the configuration's")  # fmt: skip
    parser.add_argument("--chart", choices=MEASURES, help="draw bars of it")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="JSON")
    form.add_argument("--csv", action="store_true", help="CSV")
    return parser


def usage_of(options: argparse.Namespace, settings: Settings | None) -> str:
    """What the command prints.  Raises ``NoLedger``, and ``ValueError`` for a wrong option."""
    now = time.time()  # noqa: TID251 - a command, not a policy
    since = moment(options.since, now)
    until = moment(options.until, now) if options.until else float("inf")
    if since >= until:
        raise ValueError("--since is not before --until")
    if options.tenant and settings is not None and options.tenant not in settings.tenants:
        raise ValueError(f"no tenant is named {options.tenant!r}")
    only = {"tenant": options.tenant} if options.tenant else {}
    by = list(dict.fromkeys(name.strip() for name in options.by.split(",") if name.strip()))
    tally = Tally(by, since, until, only)
    fill(tally, options.file, settings)
    if options.json:
        return orjson.dumps(as_json(tally), option=orjson.OPT_INDENT_2).decode() + "\n"
    if options.csv:
        return as_csv(tally)
    if options.chart:
        return as_chart(tally, options.chart, shutil.get_terminal_size().columns)
    return as_table(tally)


def moment(text: str, now: float) -> float:
    """A date, a time (UTC) or so long ago, in seconds since 1970."""
    if re.fullmatch(r"\d.*[a-z]", text):
        return now - Duration.parse(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not like 2026-11-01, 2026-11-01T12:00 or 7d") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def fill(tally: Tally, file: Path | None, settings: Settings | None) -> None:
    """Read the whole ledger into ``tally``."""
    if file is None and settings is not None and settings.store.is_memory and settings.log.usage:
        file = Path(settings.log.usage.to)
    if file is not None:
        paths = files_of(file)
        if not paths:
            raise NoLedger(f"no ledger at {file}")
        for path in paths:
            for row in _lines(path):
                tally.add(str(row.get("lease")), str(row.get("state")), row)
    elif settings is None or settings.store.is_memory:
        raise NoLedger("no billing ledger is kept; set log.usage.to, or a redis store")
    else:
        asyncio.run(_fill_from_store(tally, settings))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    unread = 0
    try:
        with path.open("rb") as opened:
            for line in opened:
                try:
                    row = orjson.loads(line)
                except orjson.JSONDecodeError:
                    row = None  # cut short by a crash or a full disk
                if isinstance(row, dict) and "lease" in row:
                    yield row
                else:
                    unread += 1
        if unread:
            log.warning("%s: %d lines are no rows of a ledger and were left out", path, unread)
    except OSError as exc:
        raise NoLedger(f"cannot read {path}: {exc.strerror}") from exc


async def _fill_from_store(tally: Tally, settings: Settings) -> None:
    store, scripts = open_shared(settings)
    assert store is not None
    ledger = ledger_on(store, scripts, settings, SystemClock())
    store.start()
    try:
        for tenant in settings.tenants:
            async for lease, state, record in stored(ledger.rows, tenant):
                tally.add(lease, state, record)
    except StoreDown as exc:
        raise NoLedger(f"the store does not answer: {exc}") from exc
    finally:
        await store.close()


async def stored(rows: Any, tenant: str) -> AsyncIterator[tuple[str, str, dict[str, Any]]]:
    """Every row of a tenant's stream; ``rows(tenant, after, count)`` gives a page."""
    after = "-"
    for attempt in range(40):
        try:
            page = await rows(tenant, after, PAGE)
            break
        except StoreDown:
            if attempt == 39:
                raise
            await asyncio.sleep(0.05)  # it is being connected to
    while page:
        for _, row in page:
            record = orjson.loads(row.record) if row.record else {"tenant": tenant}
            yield row.lease, row.state, record
        after = page[-1][0]
        page = await rows(tenant, after, PAGE)


def as_json(tally: Tally) -> dict[str, Any]:
    """The sums as plain values."""
    return {
        "by": list(tally.by),
        "rows": [
            {**dict(zip(tally.by, group, strict=True)), **_plain(totals)}
            for group, totals in tally.rows()
        ],
        "total": _plain(tally.total),
    }


def _plain(totals: Totals) -> dict[str, Any]:
    return {
        "requests": totals.requests,
        "input_tokens": totals.input,
        "cached_tokens": totals.cached,
        "output_tokens": totals.output,
        "cost_usd": totals.nanos / 1e9,
        "estimated_requests": totals.estimated,
    }


def as_csv(tally: Tally) -> str:
    """The sums as CSV with a head."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*tally.by, *_plain(Totals())])
    for group, totals in tally.rows():
        # A name that a spreadsheet would take for a formula is no formula.
        names = [
            f"'{n}" if n[:1] in "=+-@\t\r" and len(n) > 1 else n for n in map(_plain_name, group)
        ]
        writer.writerow([*names, *_plain(totals).values()])
    return out.getvalue()


def as_table(tally: Tally) -> str:
    """The sums in columns, numbers to the right, with their total."""
    dollars = _dollars(totals.nanos for _, totals in tally.rows())
    rows = [[*map(_plain_name, group), *_cells(totals, dollars)] for group, totals in tally.rows()]
    if not rows:
        return "nothing was used in that time\n"
    total = ["total", *[""] * (len(tally.by) - 1)][: len(tally.by)]
    table = [[*tally.by, *_TITLES], *rows, [*total, *_cells(tally.total, dollars)]]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = []
    for n, row in enumerate(table):
        cells = [
            cell.ljust(width) if i < len(tally.by) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        if n in (1, len(table) - 1):
            lines.append("  ".join("─" * width for width in widths))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


def _plain_name(name: str) -> str:
    """A name without what would move a terminal's cursor."""
    return name if name.isprintable() else name.encode("unicode_escape").decode()


def _dollars(costs: Iterable[int]) -> str:
    """How costs are written: alike, with three digits of the least that is not nothing."""
    least = min((nanos for nanos in costs if nanos > 0), default=10**9)
    return f"{{:,.{min(9, max(4, 12 - len(str(least))))}f}}"


def _cells(totals: Totals, dollars: str) -> list[str]:
    numbers = (totals.requests, totals.input, totals.cached, totals.output)
    return [*(f"{n:,}" for n in numbers), dollars.format(totals.nanos / 1e9)]


def as_chart(tally: Tally, measure: str, columns: int) -> str:
    """Bars of one measure, at most ``columns`` wide."""
    rows = [
        (" ".join(map(_plain_name, group)), _measured(totals, measure))
        for group, totals in tally.rows()
    ]
    if not rows:
        return "nothing was used in that time\n"
    costs = (totals.nanos for _, totals in tally.rows())
    form = _dollars(costs) if measure == "cost" else "{:,.0f}"
    names = max(len(name) for name, _ in rows)
    values = max(len(form.format(value)) for _, value in rows)
    room = max(10, columns - names - values - 4)
    most = max(value for _, value in rows) or 1
    lines = []
    for name, value in rows:
        cells = (name.ljust(names), form.format(value).rjust(values), _bar(value / most, room))
        lines.append("  ".join(cells).rstrip())
    return "\n".join([f"{measure} by {', '.join(tally.by)}", *lines]) + "\n"


def _measured(totals: Totals, measure: str) -> float:
    if measure == "cost":
        return totals.nanos / 1e9
    return totals.tokens if measure == "tokens" else totals.requests


def _bar(share: float, room: int) -> str:
    eighths = round(share * room * 8)
    if share > 0:
        eighths = max(1, eighths)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_BLOCKS[rest] if rest else "")
