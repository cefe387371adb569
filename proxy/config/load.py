"""Reads a configuration: the one place in this package that opens files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
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


def any_price(_model: str) -> bool:
    """For those who do nothing that has a price."""
    return True


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, the files they came from, and what is odd but not wrong.

    ``state`` is ``state_of`` the files as they were read.
    """

    settings: Settings
    watched: tuple[Path, ...]
    notes: tuple[Problem, ...] = ()
    state: bytes = b""


@dataclass(slots=True)
class FileSource:
    """Variables of an environment, files beside the configuration."""

    folder: Path
    environment: Mapping[str, str]
    watched: list[Path] = field(default_factory=list)
    read: list[bytes | None] = field(default_factory=list)

    def variable(self, name: str) -> str | None:
        """An environment variable."""
        return self.environment.get(name)

    def file(self, path: str) -> str:
        """What a file holds, and a note to watch it."""
        found = self.folder / path
        self.watched.append(found)
        self.read.append(None)
        with found.open("rb") as opened:
            data = opened.read(MAX_FILE + 1)
        self.read[-1] = data
        if len(data) > MAX_FILE:
            raise ValueError("the file is over 1 MiB")
        return data.decode()

    def watch(self, path: Path) -> None:
        """A file that others read."""
        self.watched.append(path)
        self.read.append(_content(path))


def load(
    path: Path | None, environment: Mapping[str, str], has_price: HasPrice = no_price
) -> Loaded:
    """The settings in ``path``, or the embedded default.

    Raises ``ConfigError`` with all that is wrong.
    """
    file = path or DEFAULT
    shown = str(path) if path is not None else "(embedded default)"
    try:
        data = file.read_bytes()
        text = data.decode()
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
    for upstream in bound.value.upstreams.values():
        if (tls := upstream.tls) is not None:
            for name in filter(None, (tls.ca, tls.cert, tls.key)):
                source.watch(Path(name))
    if path is None:
        watched, read = source.watched, source.read
    else:
        watched, read = [file, *source.watched], [data[: MAX_FILE + 1], *source.read]
    return Loaded(bound.value, tuple(watched), (*bound.notes, *notes), _digest(read))


def state_of(paths: Iterable[Path]) -> bytes:
    """What the files hold now, in one number."""
    return _digest(map(_content, paths))


def _content(path: Path) -> bytes | None:
    try:
        with path.open("rb") as opened:
            return opened.read(MAX_FILE + 1)
    except OSError:
        return None


def _digest(contents: Iterable[bytes | None]) -> bytes:
    state = blake2b(digest_size=16)
    for content in contents:
        data = b"\0missing" if content is None else content
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return state.digest()
