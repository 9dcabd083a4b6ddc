"""Runs the Autobahn cases against an echo, directly and through whatever stands in front of it.

It says the echo's port, hears the other address, and says what differed: a JSON object with the number of cases, those that ended
differently, and those that failed in both ways.
"""

import asyncio
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

from websockets.asyncio.server import serve

# Most cases break the protocol on purpose, and the echo would tell of each.
logging.disable(logging.CRITICAL)

# Groups that are asked for: then nothing else is run.
GROUPS = os.environ.get("MAINSTAY_CONFORMANCE_GROUPS", "").split()
LONG = [] if "MAINSTAY_CONFORMANCE_ALL" in os.environ else ["9.*", "12.*", "13.*"]

# In these a violation stands right behind a message. An echo that has read both at once ends the connection before it has answered the message, which
# Autobahn calls NON-STRICT, and one that has read the message first answers it, which is OK. Which it is depends on how the bytes were cut
# on their way, which TCP promises nobody; both are right, and are one here. What else becomes of these cases is compared as in all others.
READ_AT_ONCE = ["3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"]


async def echo(socket):
    async for message in socket:
        await socket.send(message)


def run(address, folder):
    cases = [("-i", f"{group}.*") for group in GROUPS] or [("-x", case) for case in LONG]
    chosen = [word for case in cases for word in case]
    # Not the program beside the interpreter: that names its interpreter by a path, which may have been moved.
    kosoku = [sys.executable, "-c", "import sys; from kosoku._cli import main; sys.exit(main())"]
    words = [*kosoku, "-m", "fuzzingclient", "-p", "4", *chosen, "-o", folder, address]
    # Its own exit code tells of failed cases; what they are is in the report.
    subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    # By the name that the server gave itself, which it gives where there is an answer.
    reports = json.loads(pathlib.Path(folder, "index.json").read_text()).values()
    return {case: ended(case, end) for report in reports for case, end in report.items()}


def ended(case, end):
    behaviour = end["behavior"]
    if case in READ_AT_ONCE and behaviour == "NON-STRICT":
        behaviour = "OK"
    return [behaviour, end["behaviorClose"]]


def main(port):
    try:
        compare(port)
    except Exception as why:
        print(f"{why!r}", flush=True)
    finally:
        # The echo would go on for ever.
        os._exit(0)


def compare(port):
    print(port, flush=True)
    proxy = sys.stdin.readline().strip()
    with tempfile.TemporaryDirectory() as folder:
        through, alone = run(proxy, f"{folder}/through"), run(f"127.0.0.1:{port}", f"{folder}/alone")
    differ = [[case, end, alone.get(case)] for case, end in through.items() if alone.get(case) != end]
    failed = [case for case, end in alone.items() if end[0] in ("FAILED", "WRONG CODE", "UNCLEAN")]
    json.dump({"cases": len(through), "differ": differ, "failed": failed}, sys.stdout)
    sys.stdout.flush()


async def serving():
    # Without Pings of its own: behind a megabyte of small frames their Pongs come late, and it would end what is well.
    async with serve(echo, "127.0.0.1", 0, max_size=None, max_queue=None, ping_interval=None) as server:
        port = server.sockets[0].getsockname()[1]
        threading.Thread(target=main, args=(port,)).start()
        await asyncio.get_running_loop().create_future()


asyncio.run(serving())
