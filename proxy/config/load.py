"""Reads a configuration: the one place in this package that opens files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from proxy.config.bind import bind
from proxy.config.check import check, unknown_names
from proxy.config.nodes import ConfigError, Problem, parse, refuse
from proxy.config.schema import Settings

DEFAULT: Final = Path(__file__).parent / "default.yaml"
MAX_FILE: Final = 1 << 20

HasPrice = Callable[[str], bool]
"""Whether a model's price is known without the configuration's own."""


def no_price(_model: str) -> bool:
    """What is known of prices without a table."""
    return False


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, the files they came from, and what is odd but not wrong."""

    settings: Settings
    watched: tuple[Path, ...]
    notes: tuple[Problem, ...] = ()


@dataclass(slots=True)
class FileSource:
    """Variables of an environment, files beside the configuration."""

    folder: Path
    environment: Mapping[str, str]
    watched: list[Path] = field(default_factory=list)

    def variable(self, name: str) -> str | None:
        """An environment variable."""
        return self.environment.get(name)

    def file(self, path: str) -> str:
        """What a file holds, and a note to watch it."""
        found = self.folder / path
        self.watched.append(found)
        with found.open("rb") as opened:
            data = opened.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise ValueError("the file is over 1 MiB")
        return data.decode()


def load(
    path: Path | None, environment: Mapping[str, str], has_price: HasPrice = no_price
) -> Loaded:
    """The settings in ``path``, or the embedded default.

    Raises ``ConfigError`` with all that is wrong.
    """
    file = path or DEFAULT
    shown = str(path) if path is not None else "(embedded default)"
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as exc:
        raise refuse(shown, f"cannot read the file: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise refuse(shown, f"the file is not UTF-8 (byte {exc.start})") from exc
    source = FileSource(file.parent, environment)
    bound = bind(parse(text, shown), Settings, shown, source)
    if bound.problems or bound.value is None:
        more = [] if bound.value is None else unknown_names(bound.value, bound.lost)
        raise ConfigError([*bound.problems, *more])
    problems, notes = check(bound.value, has_price)
    if problems:
        raise ConfigError(problems)
    watched = (file,) if path is not None else ()
    return Loaded(bound.value, (*watched, *source.watched), (*bound.notes, *notes))
