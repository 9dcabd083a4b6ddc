"""A server by Python's websockets whose first connections break without a word once they are open; the others are an echo.

Says its port."""

import asyncio
import itertools
import sys

from websockets.asyncio.server import serve

BREAKS = int(sys.argv[1])
numbers = itertools.count()


async def treat(socket):
    if next(numbers) < BREAKS:
        socket.transport.abort()
        return
    async for message in socket:
        await socket.send(message)


async def main():
    async with serve(treat, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
