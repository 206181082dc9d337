"""A server on loopback that speaks the hub's protocol, with the faults that networks have."""

import hashlib
import re
import socket
import struct
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

BLOCK = 1 << 14


@dataclass
class Faults:
    """What goes wrong. A fault of a URL path holds for every request of it; `statuses` are used up one by one."""

    cuts: list[float] = field(default_factory=list)
    """The connection breaks off at these shares of the file, at each once."""
    statuses: dict[str, list[int]] = field(default_factory=dict)
    wrong_bytes: set[str] = field(default_factory=set)
    promised: dict[str, int] = field(default_factory=dict)
    """Another length than the file's."""
    ignores_range: bool = False
    stalls: int = 0
    """So many responses send half, then nothing more."""
    endless: bool = False
    """No length is promised, and no end comes."""
    length: str = ""
    """What the hub says a file's length is, whatever that means."""
    retry_after: str = "0"
    pause: float = 0.0
    """Seconds between blocks."""


class Hub(ThreadingHTTPServer):
    """files: contents by URL path. Hub paths redirect to a store under another host name, as the hub's do."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.clear()
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.store = f"http://localhost:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def clear(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults = Faults()
        self.requests: list[tuple[str, str, str | None]] = []
        self.tokens: list[tuple[str, str | None]] = []
        self.sent: Counter[str] = Counter()

    def put(self, repository: str, files: dict[str, bytes]) -> None:
        self.files |= {f"/{repository}/resolve/main/{path}": content for path, content in files.items()}

    def starts(self, path: str) -> list[int]:
        """Where each request for a file's content began."""
        ranges = [asked for method, requested, asked in self.requests if method == "GET" and requested == path]
        return [int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0 for asked in ranges]

    def handle_error(self, *_about: object) -> None:
        """A client that goes away is no error here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        hub, path = self.server, urlsplit(self.path).path
        hub.requests.append((self.command, path, self.headers.get("Range")))
        hub.tokens.append((self.headers["Host"], self.headers.get("Authorization")))
        statuses = hub.faults.statuses.get(path)
        if statuses:
            return self.head(statuses.pop(0), {"Retry-After": hub.faults.retry_after, "Content-Length": "0"})
        if path.startswith("/store"):
            return self.content(path, hub.files[path.removeprefix("/store")], body)
        if path not in hub.files:
            return self.head(404, {"Content-Length": "0"})
        if "/resolve/" not in path:
            return self.content(path, hub.files[path], body)
        linked = {"X-Linked-Etag": etag(hub.files[path])}
        linked |= {} if hub.faults.endless else {"X-Linked-Size": hub.faults.length or str(len(hub.files[path]))}
        return self.head(302, {"Location": f"{hub.store}/store{path}", "Content-Length": "0"} | linked)

    def head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def content(self, path: str, data: bytes, body: bool) -> None:
        faults = self.server.faults
        headers = {"ETag": etag(data), "Content-Type": "application/octet-stream"}
        size = faults.promised.get(path, len(data))
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(asked[1]) if asked and not faults.ignores_range else 0
        if start:
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        if faults.endless:
            self.close_connection = True
            self.head(206 if start else 200, headers)
            return self.flood(path) if body else None
        self.head(206 if start else 200, headers | {"Content-Length": str(size - start)})
        if path in faults.wrong_bytes:
            data = bytes(len(data))
        if body:
            self.send(path, data.ljust(size, b"\0")[:size], start)

    def send(self, path: str, data: bytes, start: int) -> None:
        faults, hub = self.server.faults, self.server
        cuts = [int(share * len(data)) for share in faults.cuts]
        stop = next((cut for cut in cuts if cut > start), None)
        if stop is not None:
            faults.cuts = [share for share in faults.cuts if int(share * len(data)) != stop]
        stalls = faults.stalls > 0
        faults.stalls -= stalls
        end = stop if stop is not None else start + (len(data) - start) // 2 if stalls else len(data)
        for position in range(start, end, BLOCK):
            self.wfile.write(data[position : min(position + BLOCK, end)])
            hub.sent[path] += min(position + BLOCK, end) - position
            time.sleep(faults.pause)
        if stalls:
            time.sleep(5)
        if end < len(data):
            self.break_off(with_reset=len(faults.cuts) % 2 == 1)

    def flood(self, path: str) -> None:
        while self.server.faults.endless:
            try:
                self.wfile.write(bytes(BLOCK))
            except OSError:  # the client has had enough
                return
            self.server.sent[path] += BLOCK

    def break_off(self, with_reset: bool) -> None:
        if with_reset:
            linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_about: object) -> None:
        """Quietly."""


def etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()}"'
