"""Who may see a cluster's pages: whoever knows its secret, and no page of another origin.

Basic authentication, because browsers keep its credentials for one scheme, host and *port*: a
cookie is sent to every port of its host, also to another user's server. What a browser keeps it
sends for whatever page asks, so that a request must also come from a page of ours, or be a person
who goes there.

Standard library only, and nothing of ours: it is part of every head.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

USER = "ebb"
SECRET_FILE = "dashboard.secret"
"""Among the cluster's secrets, readable by its owner only; gone with it."""
OPEN_PATH = "/ebb/open"
"""Leads on to the dashboard. A page whose URL has a password in it may not fetch what it needs, so
that a link with one leads here first."""
CHALLENGE = 'Basic realm="ebb", charset="UTF-8"'

_HOST = re.compile(r"(?:([a-z0-9._-]+)|\[([0-9a-f:.]+)\])(?::\d{1,5})?", re.IGNORECASE | re.ASCII)
"""With any port: a tunnel may have another one at its near end."""
_OWN_SITES = ("same-origin", "none")
_FETCH = "Sec-Fetch-"


class Headers(Protocol):
    """A request's headers; names in any case."""

    def get(self, name: str, /) -> str | None:
        """The value; None when there is none."""
        ...


class Refusal(NamedTuple):
    """Why a request is not served."""

    status: int
    message: str


def new_secret() -> str:
    """A secret for one cluster, of 256 bits."""
    return secrets.token_urlsafe(32)


def read_secret(folder: Path) -> str:
    """The cluster's secret, from the folder of its secrets.

    Raises:
        FileNotFoundError: when the cluster is gone.
    """
    return (folder / SECRET_FILE).read_text()


def basic(secret: str) -> str:
    """The header ``Authorization`` of somebody who knows the secret."""
    return "Basic " + base64.b64encode(f"{USER}:{secret}".encode()).decode()


class Door:
    """Judges requests by method and headers alone, before anything else reads them.

    It answers to no name but its own: a page whose name was made to lead here (DNS rebinding) would
    be of the same origin.
    """

    def __init__(self, secret: str, hosts: Iterable[str]):
        """``hosts``: names, addresses and networks (``10.0.0.0/8``) it may be called by."""
        known = [host.lower() for host in hosts]
        self._expected = basic(secret).encode()
        self._names = frozenset(host for host in known if "/" not in host)
        self._networks = [ipaddress.ip_network(host) for host in known if "/" in host]

    def refusal(self, method: str, headers: Headers) -> Refusal | None:
        """Why this request is not served; None when it is."""
        host = headers.get("Host") or ""
        if not self._is_known_by(host):
            return Refusal(403, f"this page answers to its own names, and not to {host!r}")
        if not (_same_origin(host, headers) or _person_goes_there(method, headers)):
            return Refusal(403, "this page answers to no page of another origin")
        given = (headers.get("Authorization") or "").encode()
        if not hmac.compare_digest(given, self._expected):
            return Refusal(401, "this page is its owner's, who comes in by: ebb open RUN")
        return None

    def _is_known_by(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = (found[1] or found[2]).lower()
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def _same_origin(host: str, headers: Headers) -> bool:
    """Whether a page of ours asks, or a program, which says nothing of where it comes from."""
    origin = headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return False
    site = headers.get(f"{_FETCH}Site")
    return site is None or site in _OWN_SITES


def _person_goes_there(method: str, headers: Headers) -> bool:
    """By a link: the page it is on sees nothing of what comes."""
    return (
        method in ("GET", "HEAD")
        and headers.get("Upgrade") is None
        and headers.get(f"{_FETCH}Mode") == "navigate"
        and headers.get(f"{_FETCH}Dest") == "document"
    )
