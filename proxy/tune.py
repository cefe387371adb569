"""``sidestream cache tune``: which threshold a semantic cache could have, by labelled pairs.

Pairs are embedded by whom the configuration names, or by a model in a folder;
then it is counted what each threshold would have served, right and wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from proxy.compile import specs_of
from proxy.config.load import any_price, load
from proxy.config.nodes import ConfigError
from proxy.config.schema import Settings
from proxy.config.schema.caches import Embed
from proxy.core.errors import ProxyError
from proxy.core.semantic import Embedder, Vector
from proxy.embedding import model_of, open_model
from proxy.meanings import lexical_guard
from proxy.observe.queues import Queues
from proxy.semantic.agreement import cosine
from proxy.semantic.pairs import BadPairs, Pair, read_pairs
from proxy.semantic.tables import Tables, as_text, drawn, listed
from proxy.semantic.tuning import Judged, lost, rows, thresholds, worst
from proxy.upstream.ask import answer_of
from proxy.upstream.embedder import UpstreamEmbedder
from proxy.upstream.fleet import Fleet
from proxy.upstream.target import Upstream

BATCH: Final = 32
TIMEOUT_S: Final = 60.0
MAX_PROBLEMS: Final = 20
_HINTS: Final = {
    200: ", but not with a JSON object",
    400: "; does it know such a model, and texts of this length?",
    401: "; is api_key right?",
    403: "; is api_key right?",
    404: "; are base_url and model right?",
    429: "; it asks for fewer calls",
}


class CannotTune(Exception):
    """There is nothing to try, or nothing to try it with; the message says why."""


class BadFile(CannotTune):
    """Lines of the pairs are none; the message has one line for each."""


def add_tune(actions: Any, config: Path | None) -> None:
    """Make the command known, as an action of ``cache``."""
    tune = actions.add_parser("tune", help="try thresholds of a semantic cache on labelled pairs")
    tune.add_argument("pairs", type=Path, metavar="PAIRS",
                      help='JSON lines {"a", "b", "same"}, or CSV with that header; the '
                      "embedding model gets these texts as they are")  # fmt: skip
    tune.add_argument("--config", type=Path, default=config, metavar="FILE",
                      help="YAML with the cache whose embedding model is used")  # fmt: skip
    tune.add_argument("--cache", default="", metavar="NAME", help="which of its caches")
    tune.add_argument("--model", type=Path, metavar="FOLDER",
                      help="a model to run here instead; needs no configuration")  # fmt: skip
    tune.add_argument("--from", type=float, default=0.7, dest="start", metavar="COSINE")
    tune.add_argument("--to", type=float, default=0.99, dest="stop", metavar="COSINE")
    tune.add_argument("--step", type=float, default=0.01)
    tune.add_argument("--plot", type=Path, metavar="FILE", help="draw the curves as an SVG")
    tune.add_argument("--show", type=int, default=0, metavar="N",
                      help="list N different pairs that look most alike, and N same ones "
                      "that the guard keeps apart")  # fmt: skip
    tune.set_defaults(run=_run)


def _run(options: argparse.Namespace, _given: list[str]) -> int:
    try:
        sys.stdout.write(_tuned(options))
    except (ConfigError, BadFile) as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    except CannotTune as exc:
        sys.stderr.write(f"sidestream: {exc}\n")
        return 2
    return 0


def _tuned(options: argparse.Namespace) -> str:
    """What is printed; the picture is written on the way."""
    try:
        at = thresholds(options.start, options.stop, options.step)
    except ValueError as exc:
        raise CannotTune(str(exc)) from exc
    pairs = _pairs(options.pairs)
    began = time.perf_counter()
    vectors, ident = asyncio.run(_embed(options, sorted({t for p in pairs for t in (p.a, p.b)})))
    took = time.perf_counter() - began
    why = lexical_guard().why_different
    judged = [
        Judged(
            p,
            cosine(vectors[p.a], vectors[p.b]),
            why(p.a, p.b),
            why(p.a, p.b, is_lenient=True),
        )
        for p in pairs
    ]
    tables = Tables(
        at,
        rows(judged, at, lambda _: ""),
        rows(judged, at, attrgetter("why")),
        rows(judged, at, attrgetter("unforgiven")),
    )
    if options.plot is not None:
        _write(options.plot, drawn(options.pairs.name, tables))
    same = tables.plain[0].same
    head = f"{options.pairs}: {same} same, {len(pairs) - same} different; "
    return "".join(
        [
            f"{head}{len(vectors)} texts by {ident} in {took:.1f} s\n\n",
            as_text(tables),
            *listed(worst(judged, options.show), "different pairs that look most alike"),
            *listed(lost(judged, options.show), "same pairs that the guard keeps apart"),
        ]
    )


def _pairs(path: Path) -> list[Pair]:
    try:
        return read_pairs(
            path.read_text(encoding="utf-8-sig"), is_csv=path.suffix.lower() == ".csv"
        )
    except BadPairs as exc:
        lines = [f"{path}:{line}: {message}" for line, message in exc.problems]
        more = [f"and {len(lines) - MAX_PROBLEMS} more"] if len(lines) > MAX_PROBLEMS else []
        raise BadFile("\n".join([*lines[:MAX_PROBLEMS], *more])) from exc
    except UnicodeDecodeError as exc:
        raise BadFile(f"{path}:1: not UTF-8 (byte {exc.start})") from exc
    except OSError as exc:
        raise CannotTune(f"{path}: cannot be read: {exc.strerror}") from exc


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise CannotTune(f"{path}: cannot be written: {exc.strerror}") from exc


async def _embed(
    options: argparse.Namespace, texts: Sequence[str]
) -> tuple[dict[str, Vector], str]:
    """The vector of each text, and whose they are."""
    made: list[Vector] = []
    async with _opened(options) as (embedder, why):
        for i in range(0, len(texts), BATCH):
            batch = texts[i : i + BATCH]
            vectors = await embedder.embed(batch, TIMEOUT_S)
            if vectors is None:
                raise CannotTune(f"{embedder.ident} gives no embeddings: {await why(batch)}")
            made += vectors
    if len({len(vector) for vector in made}) > 1:
        raise CannotTune(f"{embedder.ident} gives vectors of several dimensions")
    return dict(zip(texts, made, strict=True)), embedder.ident


Why = Callable[[Sequence[str]], Awaitable[str]]
"""Tells why there were no vectors of some texts."""


@asynccontextmanager
async def _opened(options: argparse.Namespace) -> AsyncIterator[tuple[Embedder, Why]]:
    """Whom the configuration or ``--model`` names."""
    if options.model is not None:
        try:
            model = open_model(options.model)
        except ValueError as exc:
            raise CannotTune(str(exc)) from exc
        with closing(model):
            yield model, _why_model
        return
    settings = load(options.config, os.environ, any_price).settings
    embed = _chosen(settings, options.cache)
    if embed.upstream is None:
        with closing(model_of(embed)) as model:
            yield model, _why_model
        return
    # The bounds on what serves are not this command's to wait for.
    spec = replace(specs_of(settings)[embed.upstream], bounds=None)
    fleet = Fleet(asyncio.get_running_loop(), time.monotonic, Queues(list))
    with closing(fleet):
        upstream = fleet.upstreams({embed.upstream: spec})[embed.upstream]
        why = partial(_why_upstream, upstream, embed.model)
        fleet.adopt()
        yield UpstreamEmbedder(upstream, embed.model, time.monotonic), why


async def _why_model(_texts: Sequence[str]) -> str:
    return f"the model failed, as said above, or took longer than {TIMEOUT_S:g} s"


async def _why_upstream(upstream: Upstream, model: str, texts: Sequence[str]) -> str:
    """Asks once more, as who serves does not keep what was wrong."""
    pool = upstream.choose().pool
    try:
        pool.release(await pool.open())
    except ProxyError as exc:
        return str(exc)
    asked = {"model": model, "input": list(texts), "encoding_format": "float"}
    answer = await answer_of(
        upstream, "/v1/embeddings", asked, within_s=TIMEOUT_S, now=time.monotonic
    )
    if answer.data:
        return f"it answers, but not with one vector for each of {len(texts)} texts"
    if not answer.status:
        return f"no answer came within {TIMEOUT_S:g} s, or it broke off"
    hint = _HINTS.get(answer.status, "")
    return f"it answers with status {answer.status}{hint}"


def _chosen(settings: Settings, name: str) -> Embed:
    """Who embeds for the cache ``name``, or for the only one that says it."""
    known = {
        each: cache.semantic.embed
        for each, cache in settings.cache.items()
        if cache.semantic is not None and cache.semantic.embed is not None
    }
    if not name and len(known) == 1:
        name = next(iter(known))
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        raise CannotTune(
            f"name a cache with semantic.embed by --cache, or a model by --model; there is {there}"
        )
    return known[name]
