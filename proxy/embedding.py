"""Who makes embeddings and who judges for which cache, out of the settings."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from proxy.config import schema
from proxy.config.nodes import ConfigError, Problem
from proxy.config.schema.caches import Embed
from proxy.core.semantic import AnswerJudge, Embedder, ScopedEmbedder
from proxy.encoders.remembered import Remembered
from proxy.encoders.thread import InThread
from proxy.observe.semantic import SemanticMeter
from proxy.upstream.agreement_judge import UpstreamJudge
from proxy.upstream.embedder import UpstreamEmbedder
from proxy.upstream.target import Upstream

NEEDS_EXTRA = "a model in this process needs more packages: pip install 'sidestream[semantic]'"


FILES = ("model.onnx", "onnx/model.onnx", "tokenizer.json", "1_Pooling/config.json")
"""Of a model's folder, what a change of is another model."""


class Embedders:
    """The embedders of this process; models in it outlive reloads."""

    def __init__(self, now: Callable[[], float], meter: SemanticMeter) -> None:
        self._now = now
        self._meter = meter
        self._secret = os.urandom(32)
        self._models: dict[tuple[object, ...], InThread] = {}
        self._next: dict[tuple[object, ...], InThread] = {}

    def by_cache(
        self, settings: schema.Settings, upstreams: Mapping[str, Upstream]
    ) -> dict[str, ScopedEmbedder]:
        """Who embeds for each cache that has a semantic part in use.

        Raises ``ConfigError`` with all that cannot be loaded.
        """
        made: dict[str, ScopedEmbedder] = {}
        used: dict[tuple[object, ...], InThread] = {}
        problems: list[Problem] = []
        for name, embed in embeds_of(settings).items():
            if lack_of(embed):
                continue  # it was warned of
            if embed.upstream is not None:
                one: Embedder = UpstreamEmbedder(upstreams[embed.upstream], embed.model, self._now)
            else:
                key = _state_of(folder_of(embed))
                try:
                    # Two caches may have one model.
                    one = used.get(key) or self._models.get(key) or model_of(embed)
                except ConfigError as exc:
                    problems += exc.problems
                    continue
                used[key] = one
            told = partial(self._meter.embedded, name)
            made[name] = Remembered(one, self._secret, told=told)
        if problems:
            raise ConfigError(problems)
        self._next = used
        return made

    def adopt(self) -> None:
        """Let go of models that nobody named last; they end with the last who uses them."""
        self._models = self._next

    def close(self) -> None:
        """End all models."""
        for model in self._models.values():
            model.close()


def judge_of(
    cache: schema.Cache, upstreams: Mapping[str, Upstream], now: Callable[[], float]
) -> AnswerJudge | None:
    """Who says whether answers of a cache say the same, if anybody."""
    judge = cache.semantic.judge if cache.semantic is not None else None
    if judge is None:
        return None
    return UpstreamJudge(upstreams[judge.upstream], judge.model, float(judge.timeout), now)


def embeds_of(settings: schema.Settings) -> dict[str, Embed]:
    """By cache, who is to embed; only where a route has that cache."""
    used = {route.cache for route in settings.routes}
    return {
        name: cache.semantic.embed
        for name, cache in settings.cache.items()
        if name in used
        and cache.semantic is not None
        and cache.semantic.mode != "off"
        and cache.semantic.embed is not None
    }


def model_paid_for(embed: Embed) -> str:
    """The model whose price counts; empty for one in this process."""
    return embed.model if embed.upstream is not None else ""


def lack_of(embed: Embed) -> str:
    """What of the extra ``semantic`` is needed and not here, and what to do; empty if nothing."""
    needed = ["numpy"] if embed.upstream is not None else ["numpy", "onnxruntime", "tokenizers"]
    package = next((name for name in needed if find_spec(name) is None), "")
    return f"needs the package {package}: pip install 'sidestream[semantic]'" if package else ""


def folder_of(embed: Embed) -> Path:
    """Where a model lies: beside the configuration, if it does not say all of it."""
    return Path(embed.place.file).parent / embed.model


def model_of(embed: Embed) -> InThread:
    """The model in this process that ``embed`` names.  Raises ``ConfigError``."""
    try:
        return open_model(folder_of(embed))
    except ValueError as exc:
        raise ConfigError([embed.problem(".model", str(exc))]) from exc


def open_model(folder: Path) -> InThread:
    """The model of ``folder``; its libraries are not imported before.

    Raises ``ValueError`` with what is wrong.
    """
    try:
        onnx = importlib.import_module("proxy.encoders.onnx")
    except ImportError as exc:
        raise ValueError(f"{NEEDS_EXTRA} ({exc.name or 'broken'} is missing)") from exc
    return InThread(onnx.OnnxModel(folder))


def _state_of(folder: Path) -> tuple[object, ...]:
    """Changes when a model's files do."""
    files = [path for name in FILES if (path := folder / name).is_file()]
    stats = [(path, path.stat()) for path in files]
    return (folder, *((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats))
