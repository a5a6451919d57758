"""A way to an API server that lies behind an HTTP proxy: `proxy-url` of a kubeconfig. Asks the proxy to CONNECT."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote, urlsplit

_LONGEST_ANSWER: Final = 16 * 1024


def tunnel(proxy_url: str, host: str, port: int) -> Callable[[float], socket.socket]:
    """What connects to `host` through a proxy; it takes the seconds that each wait may last, and raises OSError.

    Raises ValueError for a proxy of another kind.
    """
    proxy = urlsplit(proxy_url)
    if proxy.scheme != "http" or not proxy.hostname:
        described = f"{proxy.scheme}://{proxy.hostname}" if proxy.hostname else "this one"
        raise ValueError(f"proxy-url: only http:// proxies are known here, not {described}")
    proxy_address = (proxy.hostname, proxy.port or 80)
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.username is not None:
        login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(login.encode()).decode()}")
    request = "".join(f"{line}\r\n" for line in [*lines, ""]).encode("ascii")

    def dial(timeout: float) -> socket.socket:
        connected = socket.create_connection(proxy_address, timeout)
        try:
            connected.sendall(request)
            status = _status(connected)
            if not status.startswith("2"):
                raise ConnectionError(f"the proxy {proxy_address[0]}:{proxy_address[1]} answers {status or 'nothing'}")
        except BaseException:
            connected.close()
            raise
        return connected

    return dial


def _status(connected: socket.socket) -> str:
    """Status and reason of the proxy's answer. Byte by byte: what follows its head is the server's."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and len(head) < _LONGEST_ANSWER:
        byte = connected.recv(1)
        if not byte:
            break
        head += byte
    return head.partition(b"\r\n")[0].decode("latin-1").partition(" ")[2]
