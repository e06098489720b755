"""What every kind of credentials gives whoever sends requests with them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

import urllib3

POOL_SIZE = 16
"""So many connections are kept."""
NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
"""Of the account that a pod has."""


class Credentials(Protocol):
    """Of one context."""

    @property
    def server(self) -> str:
        """The server's URL."""
        ...

    @property
    def context(self) -> str:
        """Its name; empty: of a pod's own account."""
        ...

    @property
    def namespace(self) -> str:
        """That of the context; empty: it names none."""
        ...

    @property
    def http(self) -> urllib3.PoolManager:
        """Connections that trust the server, and show a certificate where there is one."""
        ...

    @property
    def identity(self) -> object:
        """What tells them from others: never shown."""
        ...

    def headers(self, method: str, path: str) -> Mapping[str, str]:
        """Return what a request says of who asks; a token that has ended is renewed first."""
        ...

    def channels(self, path: str, asked: str) -> Channels:
        """Open a web socket.

        Args:
            path: with its query, from the server's root.
            asked: what is asked for, for errors.

        Returns:
            The web socket.

        Raises:
            ApiError: it was refused. Errors of the connection are those of their libraries.
        """
        ...


class Channels(Protocol):
    """A web socket whose frames begin with the channel that they belong to."""

    @property
    def is_open(self) -> bool:
        """Whether more may come."""
        ...

    @property
    def has_more(self) -> bool:
        """Whether there is something to read that its file does not show."""
        ...

    def fileno(self) -> int:
        """For whoever waits for several."""
        ...

    def send(self, channel: int, data: bytes) -> None:
        """Send to a channel."""
        ...

    def receive(self, timeout_s: float) -> tuple[int, bytes]:
        """Wait for a frame, in seconds; returns nothing of channel 0 when none has come."""
        ...

    def close(self) -> None:
        """Say that it is over, and end the connection."""
        ...


def is_own_account(file: str, context: str) -> bool:
    """Whether a pod's own account is meant: this is one, and nothing else was named."""
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ and os.path.exists(NAMESPACE_FILE)
    return in_pod and not (file or context)
