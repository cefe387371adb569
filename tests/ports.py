"""Ports for servers that are told theirs before they start.

A port that the system gave out and took back may be anybody's a moment later: every outgoing connection takes one
from the same range.  These lie below that range (32768 on Linux, 49152 elsewhere), so only who names one gets it, and
each is named once by a process.
"""

import itertools
import os
import socket

FIRST, LAST = 10_240, 32_767

# Two runs at once begin far from each other.
_numbers = itertools.count(os.getpid() * 7_919)


def free_port():
    """A port of this machine that nobody listens on, and that is not named twice."""
    while True:
        port = FIRST + next(_numbers) % (LAST + 1 - FIRST)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
