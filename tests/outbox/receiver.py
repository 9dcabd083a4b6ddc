"""An application that is told of its writes, and believes only what the Standard Webhooks library verifies.

Says its port in the first line; some calls get a 500 after they were noted, so that they come again. At the end of its standard input it
prints what it was told as JSON: {"wrong": [why, ...], "told": [{"id", "type", "data"}, ...]}, each id once.
"""

import http.server
import json
import random
import sys
import threading

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

secrets = [Webhook(secret) for secret in sys.argv[1:]]
lock = threading.Lock()
wrong, told = [], {}


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        fields = {name.lower(): value for name, value in self.headers.items()}
        with lock:
            self.note(fields, body)
        self.send_response(500 if random.random() < 0.2 else 204)
        self.send_header("content-length", "0")
        self.end_headers()

    def note(self, fields, body):
        for secret in secrets:
            try:
                secret.verify(body, fields)
            except WebhookVerificationError as error:
                wrong.append(f"{error}: {fields}")
                return
        id, message = fields["webhook-id"], json.loads(body)
        if told.setdefault(id, message) != message:
            wrong.append(f"{id} tells {message} and {told[id]}")

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
server.daemon_threads = True
# Connections that end with a killed process are what this is about.
server.handle_error = lambda *_: None
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
with lock:
    messages = [{"id": id, "type": one["type"], "data": one["data"]} for id, one in told.items()]
    print(json.dumps({"wrong": wrong, "told": messages}), flush=True)
