"""An OpenTelemetry collector of a page: it decodes by the protocol's own published messages, and tells what came.

Its ports, one for gRPC and one for HTTP, are the first line that it writes; then each export is one line of JSON. A line on
its standard input says how it behaves from then on: ok, hang, slow, unavailable, refuse, partial. It ends when that input
does."""

import json
import os
import sys
import threading
import time
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

mode = "ok"
saying = threading.Lock()

SIGNALS = {
    "traces": (traces.ExportTraceServiceRequest, traces.ExportTraceServiceResponse),
    "metrics": (metrics.ExportMetricsServiceRequest, metrics.ExportMetricsServiceResponse),
}


def attributes(items):
    def value(any_value):
        [found] = any_value.values()
        return int(found) if "intValue" in any_value else found

    names = [item["key"] for item in items]
    assert len(names) == len(set(names)), f"an attribute is said twice: {names}"
    return {item["key"]: value(item["value"]) for item in items}


def told(message):
    """The message as JSON, attributes as objects."""
    if isinstance(message, list):
        return [told(item) for item in message]
    if not isinstance(message, dict):
        return message
    return {
        key: attributes(value) if key == "attributes" else told(value) for key, value in message.items()
    }


def take(signal, protocol, body, headers):
    """What came of an export: an answer, or an error (HTTP status, gRPC status)."""
    request, answer = (make() for make in SIGNALS[signal])
    request.ParseFromString(body)
    how = mode
    line = {"signal": signal, "protocol": protocol, "mode": how, "headers": headers, "message": told(MessageToDict(request))}
    with saying:
        print(json.dumps(line), flush=True)
    if how == "hang":
        time.sleep(120)
    if how == "slow":
        time.sleep(1.5)
    if how == "unavailable":
        return 503, grpc.StatusCode.UNAVAILABLE
    if how == "refuse":
        return 400, grpc.StatusCode.INVALID_ARGUMENT
    if how == "partial":
        answer.partial_success.error_message = "too old"
        field = "rejected_spans" if signal == "traces" else "rejected_data_points"
        setattr(answer.partial_success, field, 1)
    return answer


def by_grpc(signal):
    def handle(body, context):
        taken = take(signal, "grpc", body, dict(context.invocation_metadata()))
        if isinstance(taken, tuple):
            context.abort(taken[1], "as asked")
        return taken.SerializeToString()

    return grpc.unary_unary_rpc_method_handler(handle)


class ByHttp(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        signal = {"/v1/traces": "traces", "/v1/metrics": "metrics"}[self.path]
        assert self.headers["content-type"] == "application/x-protobuf"
        headers = {name.lower(): value for name, value in self.headers.items()}
        taken = take(signal, "http", body, headers)
        status, answer = (taken[0], b"") if isinstance(taken, tuple) else (200, taken.SerializeToString())
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
server.add_generic_rpc_handlers(tuple(
    grpc.method_handlers_generic_handler(
        f"opentelemetry.proto.collector.{package}.v1.{service}", {"Export": by_grpc(signal)}
    )
    for signal, package, service in [
        ("traces", "trace", "TraceService"), ("metrics", "metrics", "MetricsService"),
    ]
))
http = ThreadingHTTPServer(("127.0.0.1", 0), ByHttp)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
threading.Thread(target=http.serve_forever, daemon=True).start()
print(f"{port} {http.server_port}", flush=True)
for line in sys.stdin:
    mode = line.strip()
    with saying:
        print(json.dumps({"mode": mode}), flush=True)
os._exit(0)
