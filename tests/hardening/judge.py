"""Reads streams of HTTP/1.1 with h11, and says which whole messages it sees.

On standard input {"streams": [[byte, ...], ...]}, of requests; with "methods" beside it, of answers to them, each stream
ended. On standard output a list of [method or status, target, body], and a text where h11 refuses what is there.
"""

import json
import sys

import h11


def requests(stream):
    seen = []
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 24)
    server.receive_data(stream)
    head, body = None, b""
    while True:
        try:
            event = server.next_event()
        except h11.RemoteProtocolError as error:
            return seen + [f"{error}: {stream!r}"]
        if event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
            return seen
        if isinstance(event, h11.Request):
            head, body = event, b""
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            seen.append([head.method.decode(), head.target.decode(), list(body)])
            server.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            server.send(h11.EndOfMessage())
            if server.our_state is h11.DONE and server.their_state is h11.DONE:
                server.start_next_cycle()
            else:
                return seen


def answers(stream, method):
    if not stream:
        # A connection that ends without a word is no answer.
        return []
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 24)
    client.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(stream)
    client.receive_data(b"")
    head, body, seen = None, b"", []
    while True:
        try:
            event = client.next_event()
        except h11.RemoteProtocolError as error:
            # An end that comes too early is what the application is to see of an answer that broke.
            early = "peer closed" in str(error) or "peer unexpectedly closed" in str(error)
            return seen if early else seen + [f"{error}: {stream!r}"]
        if event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
            return seen
        if isinstance(event, h11.InformationalResponse):
            seen.append([str(event.status_code), "", []])
        elif isinstance(event, h11.Response):
            head, body = event, b""
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            seen.append([str(head.status_code), "", list(body)])
            return seen


question = json.load(sys.stdin)
told = []
methods = question.get("methods")
for place, stream in enumerate(question["streams"]):
    told += answers(bytes(stream), methods[place]) if methods else requests(bytes(stream))
json.dump(told, sys.stdout)
