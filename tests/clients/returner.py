"""Reads an event stream without ids of its own, breaks off in the middle of an event again and again, and comes back with the
`Last-Event-ID` that it has. Prints what it got, as JSON.

Standard library only. What is counted is what an application would act on: whole events.
"""

import http.client
import json
import socket
import struct
import sys
import time

ADDRESS, PATH, LAST = sys.argv[1], sys.argv[2], int(sys.argv[3])
EVENTS_EACH = 17

numbers, others, connections, last_id = [], [], 0, None


def read(response, most):
    """Whole events, until so many have come and then a line of the next; true when the stream has ended."""
    global last_id
    kind, event_id, data, count = "message", None, [], 0
    while True:
        line = response.readline()
        if not line:
            return True
        if count == most:
            return False
        line = line.rstrip(b"\r\n").decode()
        if line:
            name, _, value = line.partition(": ")
            if name == "data":
                data.append(value)
            elif name == "event":
                kind = value
            elif name == "id":
                event_id = value
            continue
        if event_id is not None:
            last_id = event_id
        if data:
            count += 1
            (numbers if kind == "tick" else others).append(json.loads("\n".join(data)))
        kind, event_id, data = "message", None, []


while connections < 1000:
    connections += 1
    connection = http.client.HTTPConnection(ADDRESS, timeout=20)
    headers = {"Accept": "text/event-stream", "Cookie": "session=1"}
    if last_id is not None:
        headers["Last-Event-ID"] = last_id
    connection.request("GET", PATH, headers=headers)
    response = connection.getresponse()
    assert response.status == 200, response.status
    ended = read(response, EVENTS_EACH)
    if connections % 2:
        # Every other time by a reset.
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    response.close()
    connection.close()
    if ended and numbers and numbers[-1]["n"] >= LAST:
        break
    # The stream goes on meanwhile.
    time.sleep(0.02)

print(json.dumps({"numbers": [event["n"] for event in numbers], "others": others,
                  "connections": connections, "last_id": last_id}))
