"""A client by Python's websockets: messages that have to come back as they were, or a connection that waits for its end.

Says what came of it, as JSON or a line."""

import asyncio
import json
import random
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

MESSAGES = 1000


def message(source):
    size = source.choice([0, 1, 125, 126, 1000, 65_535, 65_536, source.randrange(200_000)])
    if source.random() < 0.5:
        return source.randbytes(size)
    return "".join(source.choices("aä€𝄞", k=size // 4))


def fragments(source, whole):
    """The same in up to five pieces."""
    cuts = sorted(source.randrange(len(whole) + 1) for _ in range(source.randrange(5)))
    return [whole[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(whole)])]


async def echo(uri, seed):
    source = random.Random(seed)
    same = 0
    # Its own Pings cross those of the proxy.
    async with connect(uri, max_size=None, ping_interval=0.05, ping_timeout=60) as socket:
        for _ in range(MESSAGES):
            sent = message(source)
            await socket.send(fragments(source, sent) if source.random() < 0.5 else sent)
            same += await socket.recv() == sent
            if source.random() < 0.1:
                await asyncio.sleep(0.02)
    print(json.dumps({"same": same, "code": socket.close_code}))


async def wait(uri):
    async with connect(uri, ping_interval=None) as socket:
        await socket.send("here")
        await socket.recv()
        print("open", flush=True)
        try:
            await socket.recv()
        except ConnectionClosed as end:
            print(end.rcvd.code if end.rcvd else "cut", flush=True)


async def late(uri):
    """Says nothing until it is told to."""
    async with connect(uri, ping_interval=None) as socket:
        print("open", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        await socket.send("here")
        print(await socket.recv(), flush=True)
    print(socket.close_code, flush=True)


if sys.argv[1] == "late":
    asyncio.run(late(sys.argv[2]))
elif sys.argv[1] == "echo":
    asyncio.run(echo(sys.argv[2], sys.argv[3]))
else:
    asyncio.run(wait(sys.argv[2]))
