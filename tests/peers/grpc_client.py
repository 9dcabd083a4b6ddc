"""grpcio's client through Mainstay, and grpcio's server behind it. Prints what it saw as JSON."""

import json
import os
import subprocess
import sys
import threading
import time

import grpc

proxy, first_port, second_port = sys.argv[1:4]
here = os.path.dirname(os.path.abspath(__file__))


def start(port):
    server = subprocess.Popen([sys.executable, os.path.join(here, "grpc_server.py"), port],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline() == "serving\n"
    return server


# The client's own retries are switched off: what is seen is Mainstay's doing.
channel = grpc.insecure_channel(proxy, options=[("grpc.enable_retries", 0)])


def call(service, method, request, timeout=20):
    return channel.unary_unary(f"/peer.{service}/{method}")(request, timeout=timeout)


def failure(work):
    try:
        work()
    except grpc.RpcError as error:
        metadata = dict(error.trailing_metadata() or ())
        return {"code": error.code().name, "details": error.details(),
                "pushback": metadata.get("grpc-retry-pushback-ms"),
                "head": sorted(dict(error.initial_metadata() or ())),
                "attempts": metadata.get("mainstay-attempts")}
    return None


def until_served():
    deadline = time.monotonic() + 20
    while failure(lambda: call("Once", "Unary", b"ready")) and time.monotonic() < deadline:
        time.sleep(0.1)


seen = {}
first = start(first_port)
# Checks had found nobody.
until_served()
seen["unary"] = call("Once", "Unary", b"hello").decode()
_, one = channel.unary_unary("/peer.Once/Unary").with_call(b"trailers", timeout=20)
seen["trailers"] = "served-by" in dict(one.trailing_metadata())
seen["many"] = len(list(channel.unary_stream("/peer.Once/Many")(b"500", timeout=20)))
seen["total"] = channel.stream_unary("/peer.Once/Total")(
    iter([str(n).encode() for n in range(100)]), timeout=20).decode()

# Each message waits for the answer to the last one: both directions are open at the same time.
answered = threading.Semaphore(1)


def talk():
    for number in range(50):
        assert answered.acquire(timeout=20)
        yield str(number).encode()


heard = 0
for answer in channel.stream_stream("/peer.Once/Bidi")(talk(), timeout=20):
    heard += answer.startswith(b"echo ")
    answered.release()
seen["bidi"] = heard

seen["statuses"] = {name: failure(lambda: call("Once", "Status", name.encode()))
                    for name in ["NOT_FOUND", "INVALID_ARGUMENT", "ABORTED", "UNAVAILABLE",
                                 "INTERNAL", "PERMISSION_DENIED"]}
seen["deadline"] = failure(lambda: call("Once", "Slow", b"5", timeout=0.3))
seen["then_fails"] = failure(lambda: list(channel.unary_stream("/peer.Safe/ThenFails")(b"", timeout=20)))
seen["flaky_safe"] = call("Safe", "Flaky", b"a").decode()
seen["begun_safe"] = call("Safe", "Begun", b"c").decode()
seen["begun_once"] = failure(lambda: call("Once", "Begun", b"d"))
seen["flaky_once"] = failure(lambda: call("Once", "Flaky", b"b"))
seen["pushed"] = failure(lambda: call("Safe", "Pushed", b"p"))
seen["pushed_count"] = call("Once", "Counted", b"p").decode()

# Quiet connections and waiting streams, with PINGs as often as they may come: the server minds none of them.
for _ in range(10):
    time.sleep(0.15)
    call("Once", "Unary", b"again")
seen["waited"] = call("Once", "Slow", b"3").decode()

# Load while each of two servers in turn stops gracefully (GOAWAY) and is replaced.
second = start(second_port)
time.sleep(0.5)
failed, done, stop = [], [0], threading.Event()


def load(number):
    while not stop.is_set():
        what = failure(lambda: call("Safe", "Unary", f"load {number}".encode()))
        done[0] += 1
        if what:
            failed.append(what)


threads = [threading.Thread(target=load, args=(number,)) for number in range(8)]
[thread.start() for thread in threads]
for _ in range(2):
    time.sleep(0.7)
    first.stdin.close()
    first.wait()
    first = start(first_port)
    time.sleep(1.5)
    second.stdin.close()
    second.wait()
    second = start(second_port)
    time.sleep(0.7)
stop.set()
[thread.join() for thread in threads]
seen["restarts"] = {"done": done[0], "failed": failed}

# Killed: what Mainstay says when there is nobody.
for server in (first, second):
    server.kill()
    server.wait()
seen["killed"] = failure(lambda: call("Once", "Unary", b"nobody", timeout=10))
first = start(first_port)
until_served()
seen["back"] = call("Once", "Unary", b"back").decode()
first.stdin.close()
first.wait()
print(json.dumps(seen))
