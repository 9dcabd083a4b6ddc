"""Reads what each line of standard input names, by one library over kept connections, and says as JSON what came of it.

Neither library repeats a request or asks for the rest of an answer by itself, so what breaks shows.
"""

import hashlib
import json
import sys

# Longer than any answer may be silent: a client's own timeout would hide what is looked for.
TIMEOUT = 60
PIECE = 64 * 1024


def by_requests():
    import requests

    session = requests.Session()
    session.trust_env = False

    def read(url, take):
        with session.get(url, stream=True, timeout=TIMEOUT) as answer:
            answer.raise_for_status()
            for piece in answer.iter_content(PIECE):
                take(piece)

    return read


def by_httpx():
    import httpx

    client = httpx.Client(timeout=TIMEOUT, trust_env=False)

    def read(url, take):
        with client.stream("GET", url) as answer:
            answer.raise_for_status()
            for piece in answer.iter_bytes():
                take(piece)

    return read


read = {"requests": by_requests, "httpx": by_httpx}[sys.argv[1]]()
for line in sys.stdin:
    got, error = hashlib.sha256(), None
    try:
        read(line.strip(), got.update)
    except Exception as raised:
        error = repr(raised)
    print(json.dumps({"sha256": got.hexdigest(), "error": error}), flush=True)
