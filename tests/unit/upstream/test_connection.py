"""What a connection hands on, and when."""

import asyncio

import pytest

from proxy.core.errors import UpstreamProtocol
from proxy.upstream.connection import Connection
from proxy.upstream.deadlines import Deadlines

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Socket(asyncio.Transport):
    def write(self, data):
        pass

    def abort(self):
        pass

    def is_closing(self):
        return False


async def never():
    raise AssertionError


def asked():
    conn = Connection(asyncio.get_running_loop(), lambda: 0.0)
    conn.connection_made(Socket())
    conn.begin(b"GET / HTTP/1.1\r\n\r\n", deadlines=Deadlines(9, 9, 9), since=0.0)
    conn.data_received(HEAD)
    return conn


async def pumping(conn):
    got = []
    task = asyncio.create_task(conn.pump(lambda data: got.append(data) or True, never))
    await asyncio.sleep(0)
    return got, task


async def test_bytes_go_on_in_the_read_itself():
    conn = asked()
    got, task = await pumping(conn)

    conn.data_received(b"5\r\nhello\r\n")
    assert got == [b"hello"]
    conn.data_received(b"5\r\nworld\r\n0\r\n\r\n")
    assert got == [b"hello", b"world"]
    await task

    assert conn.is_reusable


async def test_what_came_before_a_fault_is_handed_on_before_it_is_told():
    conn = asked()
    conn.data_received(b"5\r\nhello\r\n")
    conn.data_received(b"no size\r\n")
    got = []

    with pytest.raises(UpstreamProtocol):
        await conn.pump(lambda data: got.append(data) or True, never)

    assert got == [b"hello"]


async def test_who_refuses_the_last_bytes_is_heard():
    conn = asked()

    def refuses(data):
        raise UpstreamProtocol("no")

    task = asyncio.create_task(conn.pump(refuses, never))
    await asyncio.sleep(0)
    conn.data_received(b"5\r\nworld\r\n0\r\n\r\n")

    with pytest.raises(UpstreamProtocol):
        await task
