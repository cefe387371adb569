"""Work whose failing must not end the work after it."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType
from typing import Self

log = logging.getLogger("sidestream")


class Outlived:
    """``with Outlived("a step")``: what fails within is logged, without its message,
    and goes no further.  Being cancelled is no failure.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self.is_failed = False

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Whether it was a failure, which is dealt with now."""
        self.is_failed = isinstance(error, Exception)
        if self.is_failed:
            frames = "".join(traceback.format_tb(trace))
            log.error("%s failed: %s\n%s", self._what, type(error).__name__, frames)
        return self.is_failed
