"""Tells where something broke, and not with what."""

from __future__ import annotations

import logging
import traceback


def log_trace(log: logging.Logger, what: str, error: BaseException) -> None:
    """Log where ``error`` came from, and not its message, which may quote what it
    choked on.
    """
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s: %s\n%s", what, type(error).__name__, frames)
