"""Reads and writes through the proxy until standard input ends; then tells what it saw, as JSON.

Standard library only: http.client with a kept connection, as most Python programs use it by way of a library, and
urllib, which opens a connection for each request.
"""

import http.client
import json
import sys
import threading
import time
import urllib.request

ADDRESS = sys.argv[1]
# Longer than any call may take: a client's own timeout would hide what is looked for.
TIMEOUT = 20
# Between two requests of a thread. Full speed would only measure the machine.
PAUSE = 0.005

over = threading.Event()
seen = {"reads": [], "writes": []}


def timed(ask):
    read = {"status": 0, "seconds": 0.0, "error": None}
    begun = time.monotonic()
    try:
        read["status"] = ask()
    except Exception as error:
        read["error"] = repr(error)
    read["seconds"] = time.monotonic() - begun
    seen["reads"].append(read)


def keep_alive_reader():
    connection = http.client.HTTPConnection(ADDRESS, timeout=TIMEOUT)

    def ask():
        try:
            connection.request("GET", "/read")
            answer = connection.getresponse()
            json.loads(answer.read())
            return answer.status
        except Exception:
            connection.close()
            raise

    while not over.wait(PAUSE):
        timed(ask)


def urllib_reader():
    def ask():
        with urllib.request.urlopen(f"http://{ADDRESS}/read", timeout=TIMEOUT) as answer:
            json.loads(answer.read())
            return answer.status

    while not over.wait(PAUSE):
        timed(ask)


def writer():
    connection = http.client.HTTPConnection(ADDRESS, timeout=TIMEOUT)
    while not over.wait(PAUSE):
        write = {"id": f"python-{len(seen['writes'])}", "status": 0, "body": "", "error": None}
        try:
            connection.request("POST", "/write", b"x", {"X-Request-Id": write["id"]})
            answer = connection.getresponse()
            write["status"], write["body"] = answer.status, answer.read().decode()
        except Exception as error:
            write["error"] = repr(error)
            connection.close()
        seen["writes"].append(write)


threads = [threading.Thread(target=work) for work in (keep_alive_reader, keep_alive_reader, urllib_reader, writer)]
for thread in threads:
    thread.start()
sys.stdin.read()
over.set()
for thread in threads:
    thread.join()
print(json.dumps(seen))
