"""An HTTPS server that answers as a test tells it: the only thing that tests of our HTTP client fake is the wire.

Each request takes the next step of the script; when the script is through, everything is 200 with an empty object.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    """What arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """Number of the connection that it came over, from 1."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Step = Callable[["Handler", Request], None]


def answer(status: int = 200, body: Any = None, **headers: str) -> Step:
    """An ordinary answer; `Retry_After="1"` becomes the header Retry-After."""

    def step(handler: Handler, request: Request) -> None:
        content = json.dumps({} if body is None else body).encode()
        handler.plain(status, content, {"Content_Type": "application/json", **headers})

    return step


def refuse(status: int, reason: str, message: str, **headers: str) -> Step:
    """A refusal as API servers word it."""
    body = {"kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": message}
    return answer(status, body, **headers)


def drop(handler: Handler, request: Request) -> None:
    """The request is read, perhaps carried out, and no answer comes."""
    handler.close_connection = True


def raw(content: bytes) -> Step:
    """Exactly these bytes, then the end of the connection."""

    def step(handler: Handler, request: Request) -> None:
        handler.wfile.write(content)
        handler.close_connection = True

    return step


def chunked(*chunks: bytes) -> Step:
    """A whole answer in chunks."""

    def step(handler: Handler, request: Request) -> None:
        handler.begin_chunks()
        for chunk in chunks:
            handler.chunk(chunk)
        handler.chunk(b"")

    return step


def stream(events: Iterable[dict[str, Any]], *, broken: bool = False, hold: threading.Event | None = None) -> Step:
    """A watch. It ends well, or in the middle of a chunk if it is to be `broken`; `hold` keeps it open until set."""

    def step(handler: Handler, request: Request) -> None:
        handler.begin_chunks()
        for event in events:
            handler.chunk(json.dumps(event).encode() + b"\n")
        if hold is not None:
            hold.wait(10)
        if broken:
            handler.wfile.write(b"ff\r\n{")
            handler.close_connection = True
        else:
            handler.chunk(b"")

    return step


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    # Head and body are two writes: with Nagle's algorithm the second one waits 40 ms for the client's delayed ACK.
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        super().setup()
        self.number = self.server.wire.count_connection()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def any_method(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body, self.number)
        self.server.wire.take(request)(self, request)
        self.wfile.flush()

    do_GET = do_POST = do_PATCH = do_DELETE = any_method

    def plain(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def begin_chunks(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Threads per connection; a client that goes away is no error."""

    daemon_threads = True
    block_on_close = False
    wire: WireServer

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Handler)
        self.stopping = threading.Event()
        """Set when the test is over: streams end then."""

    def finish_request(self, request: Any, client_address: Any) -> None:
        with self.wire.context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@dataclass
class WireServer:
    """The server as tests see it."""

    context: ssl.SSLContext
    script: list[Step] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    always: Step = field(default_factory=answer)
    """What follows the script."""
    port: int = 0
    connections: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request: Request) -> Step:
        with self._lock:
            self.requests.append(request)
            return self.script.pop(0) if self.script else self.always

    def count_connection(self) -> int:
        with self._lock:
            self.connections += 1
            return self.connections


def make_certificate(folder: Path, address: str = "127.0.0.1") -> tuple[Path, Path]:
    """A certificate for an address that is its own authority, and its key."""
    certificate, key = folder / "ca.crt", folder / "tls.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=test", "-addext", f"subjectAltName=IP:{address}"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@contextmanager
def wire_server(certificate: Path, key: Path) -> Iterator[WireServer]:
    """A running server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Server(("127.0.0.1", 0))
    wire = WireServer(context, port=server.server_address[1])
    server.wire = wire
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield wire
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
