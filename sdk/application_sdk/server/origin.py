"""Which web pages may use a server of this machine: none but its own.

A laptop's server asks nobody for a token, since only this machine reaches it. But so does any page
in the browser: it can send a POST across sites, and after its name was pointed to 127.0.0.1 (DNS
rebinding) it can read the answers too.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from application_sdk.server.errors import Problem
from application_sdk.server.exception_handlers import refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK_NAME: Final = "localhost"
_READING: Final = frozenset({"GET", "HEAD"})
_OWN_SITE: Final = frozenset({"same-origin", "none", ""})
_MAX_LENGTH: Final = 200


class SameOrigin:
    """Refuses requests to a host that isn't this one, and those that another site's page sends to
    change something.

    `hosts` are names, beside those of the loopback interface, that the user has given to the
    server.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        problem = self._problem(scope["method"], Headers(scope=scope))
        if problem is None:
            await self._app(scope, receive, send)
        else:
            await refusal(problem)(scope, receive, send)

    def _problem(self, method: str, headers: Headers) -> Problem | None:
        hosts = headers.getlist("host")
        # guard: own-host - DNS rebinding reaches a server on localhost under a foreign name
        if len(hosts) != 1 or not self._is_own(_name(f"//{hosts[0]}")):
            return Problem(
                "Forbidden",
                f"this server isn't {', '.join(hosts)[:_MAX_LENGTH] or 'called by a Host header'}: it serves this "
                f"machine only. Ask it as {LOOPBACK_NAME} or 127.0.0.1",
            )
        if method in _READING:
            return None
        origin, site = headers.get("origin", ""), headers.get("sec-fetch-site", "")
        # guard: own-origin - a page of another site may send requests to localhost
        if (origin and origin.lower() != f"http://{hosts[0].lower()}") or site not in _OWN_SITE:
            return Problem(
                "Forbidden",
                f"a page of {origin[:_MAX_LENGTH] or 'another site'} may not send a {method} to this server: a page "
                "could do so without your knowledge. Send it from a program, or from a page of this server",
            )
        return None

    def _is_own(self, name: str) -> bool:
        if name == LOOPBACK_NAME or name.endswith(f".{LOOPBACK_NAME}") or name in self._hosts:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


def _name(address: str) -> str:
    """The host's name in an address, without its port; empty if it has none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
