"""Has httplint look at answers: a JSON list of {"name", "method", "bytes"} on standard input.

Says {"linted": number, "notes": [[name, level, note, summary], ...]}, the notes that are warnings or worse.
"""

import json
import sys

from httplint import HttpRequestLinter, HttpResponseLinter


def unchunked(body):
    out = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        size = int(size.split(b";")[0], 16)
        if size == 0:
            return out
        out, body = out + rest[:size], rest[size + 2 :]
    return out


def lint(answer):
    head, _, body = bytes(answer["bytes"]).partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    version, status, *reason = line.split(b" ", 2)
    fields = [tuple(part.strip() for part in field.split(b":", 1)) for field in lines]
    if any(name.lower() == b"transfer-encoding" for name, _ in fields):
        body = unchunked(body)
    request = HttpRequestLinter()
    request.process_request_topline(answer["method"].encode(), b"http://localhost/", b"HTTP/1.1")
    request.process_headers([(b"Host", b"localhost")])
    request.finish_content(True)
    linter = HttpResponseLinter(no_content=answer["method"] == "HEAD")
    linter.request = request
    linter.process_response_topline(version, status, reason[0] if reason else b"")
    linter.process_headers(fields)
    linter.feed_content(body)
    linter.finish_content(True)
    told = []
    for note in linter.notes:
        level = getattr(note.level, "value", str(note.level)).lower()
        if level in ("bad", "warning", "warn"):
            told.append([answer["name"], level, type(note).__name__, str(note.summary)])
    return told


answers = json.load(sys.stdin)
notes = [note for answer in answers for note in lint(answer)]
json.dump({"linted": len(answers), "notes": notes}, sys.stdout)
