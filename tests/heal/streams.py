"""Reads many event streams through the proxy at once, each by one request, and says as JSON what came of each.

httpx neither repeats a request nor asks for the rest of a stream, so what fails shows.
"""

import asyncio
import json
import sys

import httpx

ADDRESS, PATH, STREAMS = sys.argv[1], sys.argv[2], int(sys.argv[3])
# Longer than any stream may be silent: a client's own timeout would hide what is looked for.
TIMEOUT = 50


async def read(client):
    seen = {"status": 0, "ids": [], "kinds": [], "error": None}
    try:
        async with client.stream("GET", f"http://{ADDRESS}{PATH}") as answer:
            seen["status"] = answer.status_code
            fields = {}
            async for line in answer.aiter_lines():
                if line.startswith(":"):
                    continue
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    if fields.get("event") == "tick":
                        seen["ids"].append(json.loads(fields["data"])["n"])
                    else:
                        seen["kinds"].append(fields.get("event"))
                    fields = {}
    except httpx.HTTPError as error:
        seen["error"] = repr(error)
    return seen


async def main():
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=limits, timeout=TIMEOUT, trust_env=False) as client:
        print(json.dumps(await asyncio.gather(*(read(client) for _ in range(STREAMS)))))


asyncio.run(main())
