"""A gRPC server with hand-written handlers: bytes in, bytes out; its health service is grpcio's own.

A line on its standard input, SERVING or NOT_SERVING, sets the health of the service peer.Once. It ends when its standard
input does."""

import os
import sys
import threading
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

executed = {}
lock = threading.Lock()


def count(request):
    with lock:
        executed[request] = executed.get(request, 0) + 1
        return executed[request]


def unary(request, context):
    count(request)
    context.set_trailing_metadata((("served-by", str(os.getpid())),))
    return b"echo " + request


def status(request, context):
    context.abort(getattr(grpc.StatusCode, request.decode()), "as asked: 100 %")


def flaky(request, context):
    """UNAVAILABLE the first time that it sees a request, then well."""
    if count(request) == 1:
        context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
    return b"at last"


def begun(request, context):
    """The same behind a head that is sent first."""
    context.send_initial_metadata((("begun", "yes"),))
    return flaky(request, context)


def pushed(request, context):
    context.set_trailing_metadata((("grpc-retry-pushback-ms", "-1"),))
    count(request)
    context.abort(grpc.StatusCode.UNAVAILABLE, "never")


def slow(request, context):
    time.sleep(float(request))
    return b"slow"


def counted(request, context):
    return str(executed.get(request, 0)).encode()


def many(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def then_fails(request, context):
    yield b"one"
    context.abort(grpc.StatusCode.INTERNAL, "after a message")


def total(requests, context):
    return str(sum(int(request) for request in requests)).encode()


def bidi(requests, context):
    for request in requests:
        yield b"echo " + request


HANDLERS = {
    name: make(handler)
    for make, handlers in [
        (grpc.unary_unary_rpc_method_handler, {"Unary": unary, "Status": status, "Flaky": flaky,
                                               "Begun": begun, "Pushed": pushed, "Slow": slow, "Counted": counted}),
        (grpc.unary_stream_rpc_method_handler, {"Many": many, "ThenFails": then_fails}),
        (grpc.stream_unary_rpc_method_handler, {"Total": total}),
        (grpc.stream_stream_rpc_method_handler, {"Bidi": bidi}),
    ]
    for name, handler in handlers.items()
}


states = health.HealthServicer()
states.set("peer.Once", health_pb2.HealthCheckResponse.SERVING)
server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
server.add_generic_rpc_handlers((
    grpc.method_handlers_generic_handler("peer.Safe", HANDLERS),
    grpc.method_handlers_generic_handler("peer.Once", HANDLERS),
))
health_pb2_grpc.add_HealthServicer_to_server(states, server)
assert server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
print("serving", flush=True)
for line in sys.stdin:
    states.set("peer.Once", getattr(health_pb2.HealthCheckResponse, line.strip()))
# In two steps: no new calls, those that are under way come to their end.
server.stop(grace=10).wait()
