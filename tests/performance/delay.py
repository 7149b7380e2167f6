"""A TCP proxy that delays, as a process: `python -m performance.delay PORT MILLISECONDS`, says its port.

Every byte leaves half the round trip after it came, in order, as many at a time as come: a long line and no
narrow one.
"""

import asyncio
import sys
from collections import deque

_READ = 1 << 18


class Direction:
    """One way of one connection."""

    def __init__(self, seconds: float) -> None:
        """Hold what has come until it is due."""
        self._seconds = seconds
        self._due: deque[tuple[float, bytes]] = deque()
        self._came = asyncio.Event()

    async def take(self, reader: asyncio.StreamReader) -> None:
        """Take what comes; an empty piece is its end."""
        piece = b"."
        while piece:
            try:
                piece = await reader.read(_READ)
            except ConnectionError:
                piece = b""
            self._due.append((asyncio.get_running_loop().time() + self._seconds, piece))
            self._came.set()

    async def give(self, writer: asyncio.StreamWriter) -> None:
        """Pass on what is due."""
        while True:
            while not self._due:
                self._came.clear()
                await self._came.wait()
            due, piece = self._due.popleft()
            await asyncio.sleep(max(due - asyncio.get_running_loop().time(), 0))
            if not piece:
                writer.close()
                return
            writer.write(piece)
            await writer.drain()


async def serve(port: int, seconds: float) -> None:
    """Listen on a free port of loopback and pass everything on to ``port``; ``seconds`` is the round trip."""

    async def caller(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port, limit=_READ)
        there, back = Direction(seconds / 2), Direction(seconds / 2)
        ways = there.take(reader), there.give(far_writer), back.take(far_reader), back.give(writer)
        await asyncio.gather(*ways, return_exceptions=True)

    server = await asyncio.start_server(caller, "127.0.0.1", 0, limit=_READ)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))
