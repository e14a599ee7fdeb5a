"""An HTTP proxy in front of the S3 server: counts what passes; when told to, is slow, refuses, loses answers."""

from __future__ import annotations

import http.client
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLOW_S = 1.0
LOOK_S = 0.02  # between two looks whether a request may go on
# share of the requests that meet each fault in a storm; those that a server acts on before it fails are the worst
STORM = {"1 s late": 0.10, "503": 0.10, "500": 0.05}
STORM_PUT = STORM | {"500 after it took effect": 0.20, "no answer after it took effect": 0.20}
STORM_GET = STORM | {"answer cut in half": 0.05}
AWAY, GONE = "away for a second", "away until the run gives up"
AWAY_S = {AWAY: 1.0, GONE: math.inf}
WRITE_FAULTS = ("500 after it took effect", AWAY, "no answer after it took effect", GONE)
HOP = {"connection", "transfer-encoding", "content-length", "expect", "keep-alive"}  # each connection has its own


@dataclass
class Proxy:
    """What the proxy saw. whole: how often each path was read to its end. faults: what requests met, by name."""

    upstream: int
    port: int = 0
    storm: bool = False
    requests: int = 0
    whole: Counter = field(default_factory=Counter)
    faults: Counter = field(default_factory=Counter)
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    lock: threading.Lock = field(default_factory=threading.Lock)
    held: list[int] = field(default_factory=list)
    hold: str = ""
    writes: int = 0
    strike: tuple[int, str] = (0, "")
    away_until: float = 0.0

    def strike_at(self, n: int, fault: str) -> None:
        """Let the n-th PUT or DELETE from now on meet a fault of ``WRITE_FAULTS``; 0: none does, and nothing else."""
        with self.lock:
            self.writes, self.strike, self.away_until = 0, (n, fault), 0.0

    @contextmanager
    def holding(self, part: str) -> Iterator[list[int]]:
        """Until the context ends, requests with ``part`` in their first line wait; the list takes clients' ports."""
        self.held, self.hold = [], part
        try:
            yield self.held
        finally:
            self.hold = ""

    def forget(self) -> None:
        """Count from nothing."""
        with self.lock:
            self.requests = 0
            self.whole.clear()
            self.faults.clear()

    def draw(self, method: str, create_only: bool) -> str:
        """The fault that this request meets, or the empty text."""
        with self.lock:
            self.requests += 1
            if method in ("PUT", "DELETE"):
                self.writes += 1
                if self.writes == self.strike[0]:
                    self.away_until = time.monotonic() + AWAY_S.get(self.strike[1], 0.0)
                    if self.strike[1] not in AWAY_S:
                        return self.strike[1]
            if time.monotonic() < self.away_until:
                return AWAY
            if not self.storm:
                return ""
            point = self.chance.random()
            for name, share in {"PUT": STORM_PUT, "GET": STORM_GET}.get(method, STORM).items():
                if point < share:
                    self.faults[f"{name}, of a create-only PUT" if create_only and "after" in name else name] += 1
                    return name
                point -= share
            return ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Pass one request on and its answer back, with the fault that falls to it."""
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        while self.hold and self.hold in f"{request.command} {request.path}":
            if request.client_address[1] not in self.held:
                self.held.append(request.client_address[1])
            time.sleep(LOOK_S)
        fault = self.draw(request.command, "If-None-Match" in request.headers)
        request.close_connection = True  # a connection kept alive would outlive the server behind it
        if fault == "1 s late":
            time.sleep(SLOW_S)
        if fault == AWAY:
            return None
        if fault in ("503", "500"):
            return _reply(request, int(fault), [], b"")
        try:
            status, headers, content = _forward(self.upstream, request, body)
        except (OSError, http.client.HTTPException):
            return None  # the server is away: the connection closes without an answer
        if fault == "500 after it took effect":
            return _reply(request, 500, [], b"")
        if fault == "no answer after it took effect":
            return None
        if fault != "answer cut in half" and status == 200 and request.command == "GET":
            with self.lock:
                self.whole[request.path.partition("?")[0]] += 1
        return _reply(request, status, headers, content, cut=fault == "answer cut in half")


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """A proxy on a free port of this machine in front of another one, until the context ends."""
    state = Proxy(port)

    class Speaks(BaseHTTPRequestHandler):
        """HTTP for ``state``."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.answer(self)

        do_PUT = do_HEAD = do_POST = do_DELETE = do_GET  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Speaks)
    server.daemon_threads = True
    state.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


def _forward(port: int, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.items():
            if name.lower() not in HOP - {"content-length"}:
                connection.putheader(name, value)  # Host too: the signature covers it
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


def _reply(
    request: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], content: bytes, cut: bool = False
) -> None:
    length = str(len(content))
    request.send_response_only(status)
    for name, value in headers:
        if name.lower() not in HOP:
            request.send_header(name, value)
        elif name.lower() == "content-length" and request.command == "HEAD":
            length = value
    request.send_header("Content-Length", length)
    request.send_header("Connection", "close")
    request.end_headers()
    try:
        request.wfile.write(content[: len(content) // 2] if cut else content)
    except OSError:
        request.close_connection = True  # whoever asked was killed
