"""One HTTP/1.1 connection to the API server: framing and TLS, no meaning.

`api` is its only caller. By hand, since `http.client` and what it imports would cost every task pod
more than its request does. Understands what API servers send: Content-Length, chunked bodies,
streams without end.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from application_sdk.engines.kubernetes.errors import Unreachable

if TYPE_CHECKING:
    import ssl

_MAX_LINE: Final = 64 * 1024
_MAX_HEADERS: Final = 200
_SOCKET_OPTIONS: Final = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    # A watch may be silent for a minute; half a minute after its server vanished without a word, it
    # has to end.
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)


class Address(NamedTuple):  # like Response no dataclass: compiling one costs a pod's start a millisecond
    """Where the API server listens. `tls` is None for plain HTTP."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    server_name: str = ""
    """Whom its certificate has to be for, if not the host."""
    dial: Callable[[float], socket.socket] | None = None
    """Connects, in place of a direct connection; takes the seconds that each wait may last."""

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Response(NamedTuple):
    """An answer whose body has been read."""

    status: int
    headers: dict[str, str]
    """Names in lower case; of repeated ones the last."""
    body: bytes


class Connection:
    """A keep-alive connection. After any Unreachable it is closed and of no further use."""

    def __init__(self, address: Address, timeout: float) -> None:
        """Connect and shake hands; raises Unreachable. `timeout` in seconds holds for each wait for
        the network."""
        self._reusable = True
        self._address = address
        try:
            self._socket = _dial(address, timeout) if address.dial else _connect(address, timeout)
        except OSError as error:
            raise Unreachable(f"can't connect to the API server at {address.authority}: {error}") from error
        self._reader = self._socket.makefile("rb")

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent."""
        return self._reusable

    def close(self) -> None:
        self._reusable = False
        self._reader.close()
        self._socket.close()

    def request(self, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> Response:
        """Send a request and read its whole answer. Raises Unreachable."""
        try:
            status, answer = self._exchange(method, target, headers, body)
            content = b"".join(self._body(status, answer))
        except (OSError, ValueError) as error:
            self.close()
            raise Unreachable(f"{method} {target}: {_describe(error)}") from error
        if answer.get("connection", "").lower() == "close":
            self.close()
        return Response(status, answer, content)

    def stream(self, target: str, headers: dict[str, str]) -> tuple[Response, Iterator[bytes]]:
        """GET something that comes line by line. An answer other than 200 is read whole, and has no
        lines.

        The lines end when the server ends the stream well; they raise Unreachable when it breaks or
        falls silent for longer than the timeout. The connection serves nothing else afterwards.
        """
        try:
            status, answer = self._exchange("GET", target, headers, b"")
            self._reusable = False
            if status != 200:
                return Response(status, answer, b"".join(self._body(status, answer))), iter(())
        except (OSError, ValueError) as error:
            self.close()
            raise Unreachable(f"GET {target}: {_describe(error)}") from error
        return Response(status, answer, b""), self._lines(target, self._body(status, answer))

    def _exchange(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        fields = {"Host": self._address.authority, **headers}
        if body or method != "GET":
            fields["Content-Length"] = str(len(body))
        head = "".join([f"{method} {target} HTTP/1.1\r\n", *(f"{name}: {fields[name]}\r\n" for name in fields), "\r\n"])
        self._socket.sendall(head.encode("ascii") + body)
        status = 100
        while 100 <= status < 200:
            status, answer = self._head()
        return status, answer

    def _head(self) -> tuple[int, dict[str, str]]:
        version, _, rest = self._line().partition(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError(f"not an HTTP answer: {version[:80]!r}")
        headers: dict[str, str] = {}
        for _ in range(_MAX_HEADERS):
            line = self._line()
            if not line:
                return int(rest[:3]), headers
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        raise ValueError(f"more than {_MAX_HEADERS} header lines")

    def _line(self) -> str:
        line = self._reader.readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise ConnectionError("the connection ended in the middle of an answer" if line else "connection closed")
        return line.decode("latin-1").rstrip("\r\n")

    def _body(self, status: int, headers: dict[str, str]) -> Iterator[bytes]:
        if status in (204, 304):
            return
        if headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._chunks()
        elif "content-length" in headers:
            yield self._exactly(int(headers["content-length"]))
        else:
            self._reusable = False
            yield self._reader.read()

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._line().partition(";")[0], 16):
            yield self._exactly(size)
            self._line()
        while self._line():  # trailers
            pass

    def _exactly(self, size: int) -> bytes:
        content = self._reader.read(size)
        if len(content) < size:
            raise ConnectionError(f"the connection ended after {len(content)} of {size} bytes")
        return content

    def _lines(self, target: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        rest = b""
        try:
            for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n")
                yield from lines
        except (OSError, ValueError) as error:
            raise Unreachable(f"GET {target}: the stream broke: {_describe(error)}") from error
        finally:
            self.close()


def _connect(address: Address, timeout: float) -> socket.socket:
    """A socket to the first of the host's addresses that answers. Raises OSError, of the last one.

    TLS takes the socket over before it connects: `ssl` would leave one open, without anybody who
    holds it, whose peer resets in between.
    """
    refused = OSError("the name of the host has no addresses")
    for family, socket_type, protocol, _, sockaddr in socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, socket_type, protocol)
        try:
            if address.tls:
                sock = address.tls.wrap_socket(sock, server_hostname=address.server_name or address.host)
            _set_options(sock)
            sock.settimeout(timeout)
            sock.connect(sockaddr)
            return sock
        except OSError as error:
            sock.close()
            refused = error
    raise refused


def _dial(address: Address, timeout: float) -> socket.socket:
    """The same by way of somebody else, who hands over a socket that is connected already."""
    assert address.dial is not None
    sock = address.dial(timeout)
    try:
        _set_options(sock)
        server_name = address.server_name or address.host
        sock.getpeername()  # as far as that can be avoided here: see `_connect`
        return address.tls.wrap_socket(sock, server_hostname=server_name) if address.tls else sock
    except BaseException:
        sock.close()
        raise


def _set_options(sock: socket.socket) -> None:
    for level, option, value in _SOCKET_OPTIONS:
        sock.setsockopt(level, option, value)


def _describe(error: OSError | ValueError) -> str:
    return str(error) or type(error).__name__
