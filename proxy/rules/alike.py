"""Whether two questions that look alike ask the same."""

from __future__ import annotations

import re
from typing import Final

_NUMBER: Final = re.compile(r"\d+")


def why_different(one: str, other: str) -> str:
    """In a word what sets two questions apart, such as ``numbers``; empty if nothing does."""
    if _NUMBER.findall(one) != _NUMBER.findall(other):
        return "numbers"
    return ""
