"""The command ``sidestream``: serve, check, explain, usage, redact, schema, keys, cache, mock."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import orjson
import uvloop

from proxy import __version__
from proxy.accounts import usage_notes
from proxy.app import has_price
from proxy.buildable import refuse_unbuildable
from proxy.commands.cache import add_command as add_cache
from proxy.commands.keys import add_command as add_keys
from proxy.compile import redactions_of
from proxy.config.document import json_schema, reference
from proxy.config.load import Loaded, load
from proxy.config.nodes import ConfigError
from proxy.config.schema import Address
from proxy.explain import NoRequest, as_text, explain
from proxy.extras import lacking, lacking_here
from proxy.identity.keys import BadKeys
from proxy.mock import start_mock
from proxy.serve import CannotListen, Listening, Worker
from proxy.try_redaction import choose, everything, show, text_of, tried
from proxy.tune import add_tune
from proxy.upstream.fleet import UnusableTls
from proxy.usage import NoLedger, add_usage, usage_of
from proxy.workers import Supervisor, leave_with_parent, worker_command

log = logging.getLogger("sidestream")

HINT = """
Sidestream serves {url} . Try it:

  curl {url}/chat/completions -H 'content-type: application/json' \\
    -d '{{"model": "mock", "messages": [{{"role": "user", "content": "Hello"}}]}}'

  from openai import OpenAI
  client = OpenAI(base_url="{url}", api_key="any")
  print(client.responses.create(model="mock", input="Hello").output_text)

Metrics: {admin}/metrics   Status: {admin}/status   Stop: Ctrl-C
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 1 it is not so, 2 wrong usage."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    logging.basicConfig(  # noqa: TID251 - here, once
        level=os.environ.get("SIDESTREAM_LOG_LEVEL", "INFO").upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    # Its messages quote what it could not parse.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    command: Callable[[argparse.Namespace, list[str]], int] = options.run
    try:
        return command(options, given)
    except ConfigError as exc:
        print(exc, file=sys.stderr)
        return 1
    except (BadKeys, CannotListen, UnusableTls) as exc:
        print(f"sidestream: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="sidestream", description="An OpenAI-wire sidecar proxy.")
    top.add_argument("--version", action="version", version=f"sidestream {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve the data plane and the admin listener")
    serve.set_defaults(run=_serve)
    check = commands.add_parser("check", help="say all that is wrong with a configuration")
    check.set_defaults(run=_check)
    for one in (serve, check):
        one.add_argument("--config", type=Path, default=_default_config(), metavar="FILE",
                         help="YAML; without one an embedded default serves on loopback "
                         "(also SIDESTREAM_CONFIG)")  # fmt: skip
        one.add_argument("--allow-unavailable", action="store_true",
                         help="warn of settings this version does not act on")  # fmt: skip
    serve.add_argument("--with-mock", action="store_true",
                       help="start the bundled mock upstream and send requests to it")  # fmt: skip
    serve.add_argument("--worker-admin", type=Address.parse, help=argparse.SUPPRESS)
    explained = commands.add_parser(
        "explain", help="say what a request on standard input would meet, and why"
    )
    explained.add_argument("--config", type=Path, default=_default_config(), metavar="FILE")
    explained.add_argument(
        "--tenant", default="", help="whose request; needed if there are several"
    )
    explained.add_argument("--path", default="/v1/chat/completions", help="where it is sent")
    explained.add_argument("--json", action="store_true", help="JSON")
    explained.set_defaults(run=_explain)
    usage = add_usage(commands)
    usage.add_argument("--config", type=Path, default=_default_config(), metavar="FILE",
                       help="YAML that names the ledger (also SIDESTREAM_CONFIG)")  # fmt: skip
    usage.set_defaults(run=_usage)
    schema = commands.add_parser("schema", help="print the JSON Schema of the configuration")
    schema.add_argument("--reference", action="store_true", help="print the manual instead")
    schema.set_defaults(run=_schema)
    add_keys(commands)
    add_tune(add_cache(commands, _default_config()), _default_config())
    redact = commands.add_parser("redact", help="try a redaction on standard input")
    redact.add_argument("--config", type=Path, default=_default_config(), metavar="FILE",
                        help="YAML with the redaction; without one all detectors")  # fmt: skip
    redact.add_argument("--rules", metavar="NAME", help="which redaction of the configuration")
    redact.add_argument("--json", action="store_true", help="text and findings as one object")
    redact.set_defaults(run=_redact)
    mock = commands.add_parser("mock", help="serve the bundled mock upstream")
    mock.add_argument("--listen", type=Address.parse, default=Address.parse("127.0.0.1:8402"))
    mock.set_defaults(run=_mock)
    return top


def _default_config() -> Path | None:
    named = os.environ.get("SIDESTREAM_CONFIG")
    return Path(named) if named else None


def _serve(options: argparse.Namespace, given: list[str]) -> int:
    environment = dict(os.environ)
    if options.with_mock and options.worker_admin is None:
        return uvloop.run(_serve_with_mock(options, environment))
    loaded = _load(options, environment)
    if loaded.settings.workers > 1 and options.worker_admin is None:
        return _supervise(loaded, given)
    return uvloop.run(_work(options, loaded, environment))


def _load(options: argparse.Namespace, environment: Mapping[str, str]) -> Loaded:
    loaded = _read(options.config, environment)
    missing = lacking(loaded.settings)
    if missing and not options.allow_unavailable:
        raise ConfigError(missing)
    for problem in (*loaded.notes, *missing):
        log.warning("%s", problem)
    return loaded


def _read(config: Path | None, environment: Mapping[str, str]) -> Loaded:
    """A configuration that can be built, not only read."""
    loaded = load(config, environment, has_price())
    refuse_unbuildable(loaded.settings)
    return replace(loaded, notes=(*loaded.notes, *usage_notes(loaded.settings)))


async def _serve_with_mock(options: argparse.Namespace, environment: dict[str, str]) -> int:
    async with AsyncExitStack() as stack:
        mock, port = await start_mock("127.0.0.1", 0)
        stack.push_async_callback(mock.cleanup)
        environment["OPENAI_BASE_URL"] = f"http://127.0.0.1:{port}/v1"
        loaded = _load(options, environment)
        settings = loaded.settings
        hint = HINT.format(
            url=f"http://{settings.listen}/v1", admin=f"http://{settings.admin.listen}"
        )
        return await _work(options, loaded, environment, hint)


async def _work(
    options: argparse.Namespace, loaded: Loaded, environment: Mapping[str, str], hint: str = ""
) -> int:
    settings = loaded.settings
    shared = options.worker_admin is not None
    listening = Listening(options.worker_admin or settings.admin.listen, is_shared=shared)
    worker = Worker(
        loaded, lambda: _load(options, environment), listening, loop=asyncio.get_running_loop()
    )

    def ready() -> None:
        log.info("serving %s, admin %s", settings.listen, listening.admin)
        if hint:
            print(hint, file=sys.stderr, flush=True)

    if shared:
        leave_with_parent(asyncio.get_running_loop(), worker.stop)
    await worker.run(ready)
    return 0


def _supervise(loaded: Loaded, given: list[str]) -> int:
    settings = loaded.settings
    address = settings.admin.listen
    with tempfile.TemporaryDirectory(prefix="sidestream-") as folder:
        supervisor = Supervisor(settings.workers, worker_command(given), Path(folder))
        log.info("%d workers, admin %s for all of them", settings.workers, address)
        return asyncio.run(supervisor.run(address.host, address.port))


def _check(options: argparse.Namespace, given: list[str]) -> int:
    loaded = _read(options.config, os.environ)
    for note in loaded.notes:
        print(f"note: {note}", file=sys.stderr)
    missing = lacking_here(loaded.settings)
    for problem in missing:
        print(f"warning: {problem}", file=sys.stderr)
    name = options.config or "the embedded default"
    if missing and not options.allow_unavailable:
        print(f"{name}: good, but `serve` needs --allow-unavailable for the warnings above")
    else:
        print(f"{name}: good")
    return 0


def _explain(options: argparse.Namespace, given: list[str]) -> int:
    loaded = _read(options.config, os.environ)
    raw = sys.stdin.buffer.read()
    try:
        told = explain(loaded.settings, raw, options.tenant, options.path)
    except NoRequest as exc:
        print(f"sidestream: {exc}", file=sys.stderr)
        return 2
    if options.json:
        sys.stdout.buffer.write(orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n")
    else:
        sys.stdout.write(as_text(told))
    return int("refused" in told)


def _usage(options: argparse.Namespace, given: list[str]) -> int:
    settings = None
    if options.file is None:
        settings = load(options.config, os.environ, has_price()).settings
    try:
        sys.stdout.write(usage_of(options, settings))
    except (NoLedger, ValueError) as exc:
        print(f"sidestream: {exc}", file=sys.stderr)
        return 1
    return 0


def _schema(options: argparse.Namespace, given: list[str]) -> int:
    if options.reference:
        sys.stdout.write(reference())
    else:
        sys.stdout.buffer.write(
            orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        )
    return 0


def _redact(options: argparse.Namespace, given: list[str]) -> int:
    rules = everything()
    if options.config is None and options.rules:
        print("sidestream: --rules needs --config", file=sys.stderr)
        return 2
    if options.config is not None:
        loaded = load(options.config, os.environ, has_price())
        try:
            rules = choose(redactions_of(loaded.settings), options.rules)
        except LookupError as exc:
            print(f"sidestream: {exc.args[0]}", file=sys.stderr)
            return 2
    return show(tried(rules, text_of(sys.stdin)), sys.stdout, sys.stderr, as_json=options.json)


def _mock(options: argparse.Namespace, given: list[str]) -> int:
    async def run() -> int:
        mock, port = await start_mock(options.listen.host, options.listen.port)
        print(
            f"mock upstream on http://{options.listen.host}:{port}/v1", file=sys.stderr, flush=True
        )
        try:
            await asyncio.Event().wait()
        finally:
            await mock.cleanup()
        return 0

    return uvloop.run(run())


if __name__ == "__main__":
    sys.exit(main())
