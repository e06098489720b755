"""Who may see a cluster's pages: whoever knows its secret, and no page of another origin.

Basic authentication, because browsers keep its credentials for one scheme, host and *port*: a
cookie for 127.0.0.1 is sent to every port, also to another user's server. What a browser keeps it
sends for whatever page asks, so that a request must also come from a page of ours, or be a person
who goes there.

Standard library only, and nothing of ours: Dask's head, which runs by path, loads it by path.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
import secrets
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

USER = "ebb"
SECRET_FILE = "dashboard.secret"
"""In the cluster's folder, readable by its owner only; gone with it."""
OPEN_PATH = "/ebb/open"
"""Leads on to the dashboard. A page whose URL has a password in it may not fetch what it needs, so
that a link with one leads here first."""
CHALLENGE = 'Basic realm="ebb", charset="UTF-8"'

_LOOPBACK = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)
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
    words: str


def write_secret(folder: Path) -> str:
    """Make the cluster's secret unless there is one; gives it."""
    path = folder / SECRET_FILE
    if not path.exists():
        draft = folder / f"{SECRET_FILE}.draft"
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
        draft.rename(path)
    return read_secret(folder)


def read_secret(folder: Path) -> str:
    """The cluster's secret.

    Raises:
        FileNotFoundError: when the cluster is gone.
    """
    return (folder / SECRET_FILE).read_text()


def basic(secret: str) -> str:
    """The header ``Authorization`` of somebody who knows the secret."""
    return "Basic " + base64.b64encode(f"{USER}:{secret}".encode()).decode()


class Door:
    """Judges requests by method and headers alone, before anything else reads them."""

    def __init__(self, secret: str):
        self._expected = basic(secret).encode()

    def refusal(self, method: str, headers: Headers) -> Refusal | None:
        """Why this request is not served; None when it is."""
        host = headers.get("Host") or ""
        if not _LOOPBACK.fullmatch(host):
            return Refusal(403, f"this page answers to the names of this machine, not to {host!r}")
        if not (_same_origin(host, headers) or _person_goes_there(method, headers)):
            return Refusal(403, "this page answers to no page of another origin")
        given = (headers.get("Authorization") or "").encode()
        if not hmac.compare_digest(given, self._expected):
            return Refusal(401, "this page is its owner's, who comes in by: ebb open RUN")
        return None


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
