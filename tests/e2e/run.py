"""Drives a real model server through the program with the official clients.

    run.py [--transcript FILE]

Starts llama.cpp's server and the program, prints one line a step, ends with 1
if any failed.  ``SIDESTREAM_CMD`` names the program (default: the installed one).
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import steps

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
KEY = "sk-e2e"

CONFIG = """\
listen: 127.0.0.1:{listen}
admin: {{listen: "127.0.0.1:{admin}", token: admin}}
upstreams:
  llama: {{kind: generic, base_url: "http://127.0.0.1:{model}/v1", timeouts: {{first_token: 5m, idle: 2m}}}}
  embedder: {{kind: generic, base_url: "http://127.0.0.1:{embed}/v1"}}
routes:
  - {{name: chat, match: {{model: chat}}, targets: [{{upstream: llama, model: gemma-3-270m}}]}}
  - {{name: embed, match: {{model: embed, path: /v1/embeddings}}, targets: [{{upstream: embedder, model: gemma-3-270m}}]}}
tenants:
  e2e: {{keys: [{{sha256: {digest}, name: e2e}}]}}
"""


class Run:
    """Processes to stop, and the lines of the transcript."""

    def __init__(self, transcript):
        self.processes = []
        self.lines = []
        self.failed = 0
        self._transcript = transcript

    def say(self, line):
        print(line, flush=True)
        self.lines.append(line)

    def start(self, command, until=None, **more):
        process = subprocess.Popen(command, text=True, **more)
        self.processes.append(process)
        if until is not None:
            for line in process.stdout:
                if until in line:
                    break
            else:
                raise SystemExit(f"{command[0]} ended before it was ready")
        return process

    def step(self, name, work):
        began = time.monotonic()
        try:
            said, word = str(work()).strip().replace("\n", " ")[:90], "ok"
        except Exception as error:  # noqa: BLE001 - every failure is a line
            said, word = f"{type(error).__name__}: {error}"[:300], "FAILED"
            self.failed += 1
        self.say(f"{word:6} {time.monotonic() - began:6.2f} s  {name:26} {said}")

    def end(self):
        self.say(f"{len(self.lines) - 1 - self.failed} passed, {self.failed} failed")
        if self._transcript:
            Path(self._transcript).write_text("\n".join(self.lines) + "\n")
        sys.exit(bool(self.failed))

    def close(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def free_ports(count):
    socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


def busy_slots(port):
    return sum(
        slot["is_processing"] for slot in json.loads(steps.get(f"http://127.0.0.1:{port}/slots"))
    )


def wait_for(url, is_alive=lambda: True):
    for _ in range(1500):
        try:
            return steps.get(url)
        except OSError:
            time.sleep(0.2)  # noqa: TID251 - a real server is waited for
        if not is_alive():
            break
    raise SystemExit(f"{url} does not answer")


def serve(run, config, *, listen, admin, **ports):
    """The program under ``config``, once it is ready."""
    path = Path(tempfile.mkdtemp()) / "e2e.yaml"
    digest = sha256(KEY.encode()).hexdigest()
    path.write_text(config.format(listen=listen, admin=admin, digest=digest, **ports))
    command = os.environ.get("SIDESTREAM_CMD", str(ROOT / ".venv/bin/sidestream")).split()
    run.start([*command, "serve", "--config", str(path)], stdout=subprocess.DEVNULL)
    wait_for(f"http://127.0.0.1:{admin}/readyz")


def node(run, url):
    if not shutil.which("node") or not (ROOT / ".e2e/node/node_modules/openai").exists():
        run.say("skipped: no Node or no openai for it")
        return
    shutil.copy(HERE / "node/client.mjs", ROOT / ".e2e/node/client.mjs")
    out = subprocess.run(
        ["node", "client.mjs", url, KEY, "chat"],
        cwd=ROOT / ".e2e/node", capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    for line in out.stdout.splitlines():
        done = json.loads(line)
        run.failed += not done["ok"]
        word = "ok" if done["ok"] else "FAILED"
        run.say(f"{word:6} {done['ms'] / 1000:6.2f} s  node: {done['name']:20} {done['said']}")
    if out.returncode:
        run.failed += 1
        run.say("FAILED node: " + out.stderr[-300:])


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--transcript")
    run = Run(options.parse_args().transcript)
    listen, admin, model, embed = free_ports(4)
    weights = ROOT / ".e2e/gemma-3-270m.gguf"
    try:
        server = [
            sys.executable,
            str(HERE / "model_server.py"),
            "--weights",
            str(weights),
            "--port",
        ]
        for port, more in ((model, []), (embed, ["--embeddings"])):
            run.start(
                [*server, str(port), *more],
                "READY",
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        serve(run, CONFIG, listen=listen, admin=admin, model=model, embed=embed)
        url = f"http://127.0.0.1:{listen}/v1"
        world = steps.World(url, KEY, "chat", lambda: busy_slots(model), lambda: in_use(admin))
        run.say("Gemma 3 270M in llama.cpp, through Sidestream, by openai for Python and Node")
        for step in steps.STEPS:
            run.step(step.__name__, lambda step=step: step(world))
        node(run, url)
        run.step("server idle at the end", lambda: steps.until_idle(world, 90))
        status = json.loads(steps.get(f"http://127.0.0.1:{admin}/status", "admin"))
        run.step("nothing in flight", lambda: check_idle(status))
    finally:
        run.close()
    run.end()


def in_use(admin):
    status = json.loads(steps.get(f"http://127.0.0.1:{admin}/status", "admin"))
    return sum(u["in_flight"] for u in status["upstreams"])


def check_idle(status):
    assert status["in_flight"] == 0
    assert all(u["in_flight"] == 0 for u in status["upstreams"])
    return status["upstreams"]


if __name__ == "__main__":
    main()
