"""What all records of the configuration have in common."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from typing import Any

from proxy.config.nodes import NOWHERE, Place, Problem
from proxy.config.units import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A mapping in the YAML: where it stands, and which settings it names."""

    place: Place = field(default=NOWHERE, compare=False, repr=False)
    where: str = field(default="$", compare=False, repr=False)
    given: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    def problem(self, path: str, message: str) -> Problem:
        """What is wrong with it, or with what stands in it at ``path`` (``.name``)."""
        return Problem(self.place, f"{self.where}{path}", message)


def setting(
    text: str,
    default: Any = MISSING,
    *,
    factory: Callable[[], Any] | None = None,
    restart: bool = False,
) -> Any:
    """A field that users write; ``text`` is its line in the manual.

    ``restart`` says that a reload leaves it as it is.
    """
    metadata = {"text": f"{text} Takes a restart." if restart else text, "restart": restart}
    if factory is not None:
        return field(default_factory=factory, metadata=metadata)
    if default is MISSING:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


def check_threshold(value: float, name: str = "threshold") -> None:
    """Raise ``ValueError`` unless ``value`` is above 0 and at most 1."""
    if not 0 < value <= 1:
        is_percent = 10 <= value <= 100
        hint = f"; did you mean {value / 100:g}?" if is_percent else ""
        raise ValueError(f"{name} is above 0 and at most 1{hint}")


def check_key(key: Secret, name: str) -> None:
    """Raise ``ValueError`` unless ``key`` is empty or 32 bytes in base64."""
    try:
        is_good = not key or len(base64.b64decode(key.reveal(), validate=True)) == 32
    except binascii.Error:
        is_good = False
    if not is_good:
        raise ValueError(f"{name} is 32 bytes in base64, as `openssl rand -base64 32` makes")
