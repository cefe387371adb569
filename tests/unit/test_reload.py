"""Which configuration is in force when files change while one is read."""

import asyncio
import threading

import pytest

from proxy.config.load import load, state_of
from proxy.observe.metrics import Metrics
from proxy.reload import Reloader

TEXT = """\
version: 1
upstreams: {{u: {{kind: generic, base_url: "http://127.0.0.1:1/v1"}}}}
routes: [{{name: {name}, targets: [{{upstream: u}}]}}]
tenants: {{acme: {{keys: [{{file: key, name: one}}]}}}}
"""


@pytest.fixture
def write(tmp_path):
    path = tmp_path / "sidestream.yaml"

    def written(name):
        path.write_text(TEXT.format(name=name))
        return path

    written("first")
    return written


def test_the_state_of_a_configuration_is_that_of_its_files_as_they_were_read(tmp_path, write):
    missing = load(write("first"), {})
    (tmp_path / "key").write_text("sk-one")
    loaded = load(write("first"), {})

    assert missing.state != loaded.state == state_of(loaded.watched)
    assert loaded.watched == (tmp_path / "sidestream.yaml", tmp_path / "key")


async def test_what_is_written_during_a_reload_is_loaded_too(write):
    path, served, is_done = write("one"), [], asyncio.Event()

    def swap(loaded):
        served.append(loaded.settings.routes[0].name)
        write("three")
        if served[-1] == "three":
            is_done.set()
        return ()

    reloader = Reloader(load(path, {}), lambda: load(path, {}), swap, Metrics())
    watching = asyncio.create_task(reloader.watch(0.01))
    write("two")
    async with asyncio.timeout(5):
        await is_done.wait()
    watching.cancel()

    assert served == ["two", "three"]


async def test_a_change_that_is_refused_is_not_tried_again(write):
    path, tried = write("one"), []

    def again():
        tried.append(1)
        return load(path, {})

    reloader = Reloader(load(path, {}), again, lambda _: (), Metrics())
    write("[")
    refused = await reloader.reload()
    watching = asyncio.create_task(reloader.watch(0.001))
    await asyncio.sleep(0.05)
    watching.cancel()

    assert refused
    assert len(tried) == 1


async def test_of_two_reloads_at_once_the_later_is_in_force(write):
    path, served, is_second = write("one"), [], threading.Event()

    def again():
        loaded = load(path, {})
        if loaded.settings.routes[0].name == "two":
            write("three")
            is_second.wait(0.2)
        return loaded

    def swap(loaded):
        served.append(loaded.settings.routes[0].name)
        is_second.set()
        return ()

    reloader = Reloader(load(path, {}), again, swap, Metrics())
    write("two")
    first = asyncio.create_task(reloader.reload())
    while "three" not in path.read_text():
        await asyncio.sleep(0.001)
    await asyncio.gather(first, reloader.reload())

    assert served == ["two", "three"]


@pytest.mark.parametrize("turns", range(6))
async def test_who_is_told_to_reload_and_to_leave_leaves(write, turns):
    path = write("one")
    reloader = Reloader(load(path, {}), lambda: load(path, {}), lambda _: (), Metrics())
    watching = asyncio.create_task(reloader.watch(60))
    await asyncio.sleep(0.01)
    reloader.soon()
    for _ in range(turns):
        await asyncio.sleep(0)
    watching.cancel()
    await asyncio.wait({watching}, timeout=1)

    assert watching.cancelled()
