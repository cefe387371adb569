"""The billing ledger as files: JSON lines, appended, rotated by size.

Rows wait in memory for the next flush, a quarter of a second.  Several
processes may append to one file: a flush is one write of whole lines, and the
one that rotates holds a lock.
"""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path
from typing import Final

import orjson

from proxy.core.ledger import Row

log = logging.getLogger("sidestream.usage")

MAX_WAITING: Final = 16 * 1024 * 1024
"""Bytes that wait while the disk takes none; beyond, rows are lost and counted."""


class UsageFile:
    """Appends rows to ``path``; keeps ``keep`` files of ``rotate`` bytes beside it."""

    def __init__(self, path: Path, rotate: int, keep: int) -> None:
        self.path = path
        self._rotate = rotate
        self._keep = keep
        self._waiting: list[bytes] = []
        self._size = 0
        self._left = b""
        self._begun = b""  # of the line that _left goes on with
        self._is_failing = False
        self.lost = 0

    def move(self, path: Path, rotate: int, keep: int) -> None:
        """Write there from now on, also what waits; a line begun here is whole there."""
        if path != self.path:
            self._left = self._begun + self._left
            self._begun = b""
            self.path = path
        self._rotate = rotate
        self._keep = keep

    def put(self, row: Row) -> None:
        """Take one row; nothing is written here.  What has no record is nobody's use."""
        if not row.record:
            return
        if self._size > MAX_WAITING:
            self.lost += 1
            return
        charges = [[*charge] for charge in row.charges]
        head = orjson.dumps({"lease": row.lease, "state": row.state, "charges": charges})
        line = b"%s,%s\n" % (head[:-1], row.record[1:])
        self._waiting.append(line)
        self._size += len(line)

    def flush(self) -> None:
        """Write what waits.  A failure is logged once and tried again."""
        self._left += b"".join(self._waiting)
        self._waiting.clear()
        if not self._left:
            return
        try:
            self._write()
        except OSError as exc:
            if not self._is_failing:
                log.error("the usage ledger cannot be written: %s", exc)  # noqa: TRY400 - the reason is all
            self._is_failing = True
        else:
            self._is_failing = False
        self._size = len(self._left)

    def _write(self) -> None:
        """Write all that is left, and remember what of it was."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        fd = os.open(self.path, flags, 0o640)
        try:
            if os.fstat(fd).st_size + len(self._left) > self._rotate:
                fcntl.flock(fd, fcntl.LOCK_EX)
                fd = self._begin_anew(fd, flags)
            while self._left:
                size = os.write(fd, self._left)
                self._begun = (self._begun + self._left[:size]).rpartition(b"\n")[2]
                self._left = self._left[size:]
        finally:
            os.close(fd)

    def _begin_anew(self, fd: int, flags: int) -> int:
        """Move the full file aside, unless another process just has."""
        mine = os.fstat(fd)
        try:
            is_current = self.path.stat().st_ino == mine.st_ino
        except FileNotFoundError:
            is_current = False
        if is_current and mine.st_size:
            numbers = [number for number, _ in _older(self.path)]
            self.path.rename(f"{self.path}.{max(numbers, default=0) + 1}")
            for _, old in _older(self.path)[: -self._keep or None]:
                old.unlink(missing_ok=True)
        fresh = os.open(self.path, flags, 0o640)
        os.close(fd)
        return fresh


def _older(path: Path) -> list[tuple[int, Path]]:
    """The files moved aside, oldest first."""
    found = []
    for other in path.parent.glob(f"{path.name}.*"):
        number = other.name[len(path.name) + 1 :]
        if number.isdigit():
            found.append((int(number), other))
    return sorted(found)


def files_of(path: Path) -> list[Path]:
    """All files of a ledger, oldest first."""
    return [old for _, old in _older(path)] + ([path] if path.exists() else [])
