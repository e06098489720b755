"""What Prefect's server is behind: requests that only a page of its own, or a program, can make.

A secret alone does not keep out a web page that the owner's browser shows: pages can send requests
to loopback (CSRF), and by a name of their own that resolves to it read the answers (DNS rebinding).
So a request must name this server as its host, and one from a browser must come from its own pages.
Pure ASGI (https://asgi.readthedocs.io), standard library only.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
HOSTS = "EBB_SERVER_HOSTS"
"""Variable: the names and addresses that the server may be called by, with commas between."""
OPEN_PATH = "/ebb/open"
"""The page that ``ebb open`` shows first: it hands the secret, which comes in the fragment that no
browser sends, to Prefect's UI, and goes on to it: to the page of a flow run whose ID follows there
behind an ampersand."""

_Scope = MutableMapping[str, Any]
_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

_FOREIGN_SITES = ("cross-site", "same-site")  # another port of loopback is the same site
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
_OPEN_PAGE = b"""<!doctype html><meta charset=utf-8><title>Ebb</title><p id=text>Opening Prefect...
<script>
(async () => {
  const [secret, id] = location.hash.slice(1).split('&').map(decodeURIComponent);
  history.replaceState(null, '', location.pathname);
  const answer = await fetch('/api/admin/version', {headers: {Authorization: 'Basic ' + secret}});
  if (answer.ok) {
    localStorage.setItem('prefect-password', secret);
    location.replace(/^[0-9a-f-]{36}$/.test(id) ? '/runs/flow-run/' + id : '/');
  } else {
    document.getElementById('text').textContent = 'This link is not valid now: type ebb open';
  }
})();
</script>
"""
_OPEN_HEADERS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'unsafe-inline'; "
        b"connect-src 'self'; frame-ancestors 'none'",
    ),
]
_CONFINED = [(b"x-frame-options", b"DENY"), (b"content-security-policy", b"connect-src 'self'")]


class Doorkeeper:
    """An ASGI app that lets only allowed requests through to another one."""

    def __init__(self, app: _App, hosts: Iterable[str]):
        """Guard ``app``.

        Args:
            app: Prefect's server.
            hosts: the names and addresses it may be called by, without ports.
        """
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Pass on what may come in."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        why = refusal(scope, self._hosts)
        if why:
            await _refuse(scope, receive, send, why)
        elif scope["type"] == "http" and scope["path"] == OPEN_PATH:
            await _answer(send, 200, _OPEN_HEADERS, _OPEN_PAGE)
        else:
            await self._app(scope, receive, _confined(send))


def refusal(scope: _Scope, hosts: frozenset[str]) -> str:
    """Why a request may not come in; empty when it may.

    Args:
        scope: of the request, as ASGI has it.
        hosts: the names and addresses this server has, in lower case.
    """
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    named = headers.get("host", [])
    if len(named) != 1 or _host_of(named[0]) not in hosts:
        return f"this server is called {', '.join(sorted(hosts))}"
    scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
    own = _origin(f"{scheme}://{named[0]}")
    if any(_origin(origin) != own for origin in headers.get("origin", [])):
        return "a page of another origin may not use this server"
    sites = headers.get("sec-fetch-site", [])
    if any(site.lower() in _FOREIGN_SITES for site in sites) and not _is_visit(scope, headers):
        return "a page of another origin may not use this server"
    return ""


def _is_visit(scope: _Scope, headers: dict[str, list[str]]) -> bool:
    """Tell whether somebody follows a link to a page of the UI."""
    modes, targets = headers.get("sec-fetch-mode", []), headers.get("sec-fetch-dest", [])
    visits = modes == ["navigate"] and targets == ["document"]
    return visits and scope.get("method") == "GET" and not scope["path"].startswith("/api")


def _host_of(text: str) -> str:
    """Return the host without its port; empty for what is no host."""
    try:
        return (urllib.parse.urlsplit(f"//{text}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _origin(text: str) -> tuple[str, str, str]:
    """Return scheme, host and port, so that two spellings of one origin are equal."""
    try:
        parts = urllib.parse.urlsplit(text)
        port = str(parts.port or _DEFAULT_PORTS.get(parts.scheme, ""))
        return parts.scheme.lower(), (parts.hostname or "").rstrip("."), port
    except ValueError:
        return "", "", ""


def _confined(send: _Send) -> _Send:
    """Forbid that a page of another origin shows the UI in a frame, and has its owner click.

    The UI's own pages may ask nobody but this server (Prefect's ask an analytics service).
    """

    async def sent(message: _Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_CONFINED]}
        await send(message)

    return sent


async def _refuse(scope: _Scope, receive: _Receive, send: _Send, why: str) -> None:
    if scope["type"] == "websocket":
        await receive()  # the handshake has to be looked at before it can be refused
        await send({"type": "websocket.close", "code": 1008, "reason": why})
        return
    text = [(b"content-type", b"text/plain; charset=utf-8")]
    await _answer(send, 403, text, f"{why}\n".encode())


async def _answer(
    send: _Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
