"""A server of the Redis protocol that says exactly what a test tells it, on a real socket."""

import asyncio

import hiredis


class Talker:
    """Answers each command with what ``answer`` makes of its words.

    ``answer`` gives bytes to send, ``None`` for silence, or an exception class to
    close the connection.
    """

    def __init__(self, answer=None):
        self.answer = answer or (lambda _: b"+OK\r\n")
        self.said = []
        self.connections = 0
        self.port = 0
        self._writers = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc):
        self._server.close()
        self.drop()

    def drop(self):
        """Close all connections at once."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader, writer):
        self.connections += 1
        self._writers.append(writer)
        parser = hiredis.Reader()
        try:
            while data := await reader.read(65536):
                parser.feed(data)
                while (words := parser.gets()) is not False:
                    self.said.append(words)
                    reply = self.answer(words)
                    if isinstance(reply, bytes):
                        writer.write(reply)
                    elif reply is not None:
                        writer.transport.abort()
                        return
        except ConnectionError:
            return
        finally:
            writer.close()

    def told(self, name):
        """The commands of that name."""
        return [words for words in self.said if words[0] == name]
