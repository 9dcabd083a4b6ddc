"""A server of resumable uploads, by the IETF's draft or by tus, that resets the connection each few megabytes.

Says its port, serves until its standard input ends, then writes what it has to a file and says the rest as JSON. Bytes that had arrived and weren't read when it
reset count as received: they were sent.
"""

import fcntl
import http.server
import json
import socket
import struct
import sys
import termios
import threading

RESET_EACH, RESETS = 5_000_000, 3
PROTOCOL = sys.argv[1]

upload = bytearray()
seen = {"received": 0, "resets": 0, "requests": []}
state = {"length": None, "complete": False}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        super().setup()

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        super().handle_one_request()
        if self.raw_requestline:
            seen["requests"].append(getattr(self, "command", "?"))

    def answer(self, status, **fields):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), str(value))
        if status != 204:
            self.send_header("content-length", "0")
        self.end_headers()

    def pieces(self):
        """The content, as it comes; or a reset."""
        left = self.headers.get("content-length")
        while True:
            if left is None or left == 0:
                line = self.rfile.readline() if left is None else b"0"
                size = int(line, 16)
                if size == 0:
                    if left is None:
                        self.rfile.readline()
                    return
            else:
                size = int(left)
            while size > 0:
                piece = self.rfile.read1(min(size, 65536))
                if not piece:
                    raise ConnectionError("it ended within its content")
                size -= len(piece)
                yield piece
            if left is None:
                self.rfile.readline()
            else:
                left = 0

    def take(self):
        """Keeps what comes. False when the connection was reset instead."""
        for piece in self.pieces():
            upload.extend(piece)
            seen["received"] += len(piece)
            if seen["resets"] < RESETS and len(upload) >= RESET_EACH * (seen["resets"] + 1):
                seen["resets"] += 1
                unread = struct.unpack("i", fcntl.ioctl(self.connection, termios.FIONREAD, b"\0\0\0\0"))[0]
                seen["received"] += unread
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # Both files hold the socket open.
                self.rfile.raw.close()
                self.close_connection = True
                self.connection.close()
                return False
        return True

    def do_POST(self):
        if PROTOCOL == "tus":
            assert self.headers["content-length"] == "0", self.headers
            state["length"] = int(self.headers["upload-length"])
            return self.answer(201, location="/u/1", tus_resumable="1.0.0")
        self.wfile.write(
            b"HTTP/1.1 104 Upload Resumption Supported\r\n"
            b"upload-draft-interop-version: 8\r\nlocation: /u/1\r\n\r\n"
        )
        if self.take():
            state["complete"] = True
            self.answer(201, upload_complete="?1")

    do_PUT = do_POST

    def do_HEAD(self):
        assert self.headers["authorization"] == "Bearer secret", self.headers
        if PROTOCOL == "tus":
            return self.answer(200, upload_offset=len(upload), upload_length=state["length"])
        self.answer(204, upload_offset=len(upload), upload_complete="?1" if state["complete"] else "?0")

    def do_PATCH(self):
        assert int(self.headers["upload-offset"]) == len(upload), (self.headers, len(upload))
        if self.take():
            state["complete"] = True
            status = 204 if PROTOCOL == "tus" else 201
            self.answer(status, upload_offset=len(upload))

    def finish(self):
        try:
            super().finish()
        except (OSError, ValueError):
            pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        error = sys.exception() if hasattr(sys, "exception") else sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, OSError, ValueError)):
            seen["requests"].append(repr(error))


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
seen["bytes"] = len(upload)
with open(sys.argv[2], "wb") as file:
    file.write(upload)
print(json.dumps(seen), flush=True)
