"""Reads and writes in turn, by a few workers over kept connections, for some seconds. Says as JSON what came of them.

httpx doesn't repeat requests by itself unless told, so what fails shows."""

import asyncio
import json
import random
import sys
import time

import httpx

WORKERS = 8


async def worker(client, number, until, pause, seen):
    turn = 0
    while time.monotonic() < until:
        turn += 1
        name = f"w{number}-{turn}"
        try:
            if turn % 2:
                answer = await client.get("/read", headers={"x-request-id": name})
                seen["reads"] += 1
                if answer.status_code != 200:
                    seen["failed_reads"].append(f"{name}: {answer.status_code} {answer.text}")
            else:
                answer = await client.post("/write", content=b"x" * 32, headers={"x-request-id": name})
                seen["writes"][name] = answer.status_code
                if answer.status_code != 200:
                    seen["failed_writes"].append(f"{name}: {answer.status_code} {answer.text}")
        except httpx.HTTPError as error:
            seen["failed_writes" if turn % 2 == 0 else "failed_reads"].append(f"{name}: {error!r}")
        await asyncio.sleep(pause * random.uniform(0.8, 1.2))


async def main():
    address, seconds, pause_ms = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    seen = {"reads": 0, "failed_reads": [], "writes": {}, "failed_writes": []}
    until = time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=30) as client:
        await asyncio.gather(*(worker(client, n, until, pause_ms / 1000, seen) for n in range(WORKERS)))
    print(json.dumps(seen))


asyncio.run(main())
