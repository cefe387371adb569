"""Values with units, each knowing how people write it."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import ClassVar, Final

_TIME: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PER: Final = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600,
               "d": 86400, "day": 86400}  # fmt: skip
_SIZE: Final = {"": 1, "B": 1, "kB": 1000, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20,
                "GiB": 1 << 30}  # fmt: skip
_COUNT: Final = {"": 1, "k": 1000, "M": 10**6, "G": 10**9}


class Duration(float):
    """Seconds, written as ``250ms``, ``30s``, ``5m``, ``2h`` or ``1d``."""

    pattern: ClassVar[str] = r"\d+(\.\d+)?(ms|s|m|min|h|d)"

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read it as people write it."""
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|min|m|h|d)", text)
        if match is None:
            raise ValueError(f"{text!r} is not like 250ms, 30s, 5m, 2h or 1d")
        return cls(round(float(match[1]) * _TIME[match[2]], 6))


class Size(int):
    """Bytes, written as ``512``, ``64KiB``, ``32MiB`` or ``10MB``."""

    pattern: ClassVar[str] = r"\d+(B|kB|MB|GB|KiB|MiB|GiB)?"

    @classmethod
    def parse(cls, text: str) -> Size:
        """Read it as people write it."""
        match = re.fullmatch(r"(\d{1,12})(B|kB|MB|GB|KiB|MiB|GiB|)", text)
        if match is None:
            raise ValueError(f"{text!r} is not like 512, 64KiB, 32MiB or 10MB")
        return cls(int(match[1]) * _SIZE[match[2]])


class Count(int):
    """A number, written as ``32``, ``200k`` or ``5M``."""

    pattern: ClassVar[str] = r"\d+(\.\d+)?[kMG]?"

    @classmethod
    def parse(cls, text: str) -> Count:
        """Read it as people write it."""
        match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,3})?)([kMG]?)", text)
        value = Decimal(match[1]) * _COUNT[match[2]] if match else Decimal("0.5")
        if value != value.to_integral_value():
            raise ValueError(f"{text!r} is not like 32, 200k or 5M")
        return cls(value)


class Percent(float):
    """A share, written as ``20%``; 0.2 inside."""

    pattern: ClassVar[str] = r"\d+(\.\d+)?%"

    @classmethod
    def parse(cls, text: str) -> Percent:
        """Read it as people write it."""
        match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?)%|0", text)
        if match is None or float(match[1] or 0) > 100:
            raise ValueError(f"{text!r} is not like 20%, between 0% and 100%")
        return cls(float(match[1] or 0) / 100)


class Factor(float):
    """How many times as much, written as ``2x``."""

    pattern: ClassVar[str] = r"\d+(\.\d+)?x"

    @classmethod
    def parse(cls, text: str) -> Factor:
        """Read it as people write it."""
        match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)x", text)
        if match is None:
            raise ValueError(f"{text!r} is not like 2x")
        return cls(match[1])


class Money(int):
    """US dollars, written as ``50`` or ``0.50``; billionths of a dollar inside."""

    pattern: ClassVar[str] = r"\d+(\.\d+)?"

    @classmethod
    def parse(cls, text: str) -> Money:
        """Read it as people write it."""
        try:
            value = Decimal(text) * 10**9
        except InvalidOperation:
            value = Decimal("0.5")
        if not value.is_finite() or value != value.to_integral_value() or not 0 <= value < 10**18:
            raise ValueError(f"{text!r} is not an amount of dollars like 50 or 0.50")
        return cls(value)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in a time, written as ``600/min``, ``200k/min`` or ``5/s``."""

    amount: int
    seconds: int

    pattern: ClassVar[str] = r"\d+(\.\d+)?[kMG]?/(s|sec|second|min|minute|h|hour|d|day)"

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Read it as people write it."""
        amount, slash, per = text.partition("/")
        if not slash or per.strip() not in _PER:
            raise ValueError(f"{text!r} is not like 600/min, 200k/min or 5/s")
        return cls(Count.parse(amount.strip()), _PER[per.strip()])

    def __str__(self) -> str:
        per = {1: "s", 60: "min", 3600: "h", 86400: "day"}[self.seconds]
        return f"{self.amount}/{per}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A bound, written as ``">12000"`` or ``"<=0"``."""

    sign: str
    value: float

    pattern: ClassVar[str] = r"(>=?|<=?|=)?\s*-?\d+(\.\d+)?[kM]?"

    @classmethod
    def parse(cls, text: str) -> Comparison:
        """Read it as people write it; a bare number means equal."""
        match = re.fullmatch(r"(>=|<=|>|<|=|)\s*(\d{1,12}(?:\.\d{1,6})?)([kM]?)", text)
        if match is None:
            raise ValueError(f"{text!r} is not like >12000 or <=0")
        return cls(match[1] or "=", float(match[2]) * _COUNT[match[3]])


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: ``127.0.0.1:8400``, ``[::1]:8400`` or ``unix:/run/s.sock``."""

    host: str
    port: int
    path: str = ""

    pattern: ClassVar[str] = r"unix:/.+|(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read it as people write it."""
        if text.startswith("unix:/"):
            return cls("", 0, text[5:])
        match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9_.-]+)):(\d{1,9})", text)
        if match is None:
            raise ValueError(f"{text!r} is not like 127.0.0.1:8400, [::1]:8400 or unix:/run/s.sock")
        if int(match[3]) > 65535:
            raise ValueError(f"the port of {text!r} is too large; ports go up to 65535")
        return cls(match[1] or match[2], int(match[3]))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class WrongSetting(ValueError):
    """One setting of a record is wrong; ``index`` says which of a list."""

    def __init__(self, message: str, name: str, index: int | None = None) -> None:
        super().__init__(message)
        self.name = name
        self.index = index


class JsonText(str):
    """A JSON object as text; in YAML it may be written as a mapping."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> JsonText:
        """Read it as people write it."""
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise ValueError("this is no JSON object")  # noqa: TRY004 - as all units do
        return cls(text)


class Secret(str):
    """Text that is never shown: printing it gives ``***``."""

    __slots__ = ()

    def reveal(self) -> str:
        """The text itself."""
        return str.__str__(self)

    def __repr__(self) -> str:
        return "'***'"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"


class FileSecret(Secret):
    """What a file holds, named by its path; line breaks at the end do not count."""

    __slots__ = ()
