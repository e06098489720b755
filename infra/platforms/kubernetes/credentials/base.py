"""What every kind of credentials gives whoever sends requests with them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

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


class Sockets(Credentials, Protocol):
    """Those with which commands and ports of pods can be reached too."""

    def run(self, namespace: str, pod: str, container: str, argv: Sequence[str]) -> Any:
        """Start a command in a container that runs.

        Args:
            namespace: of the pod.
            pod: its name.
            container: its name in the pod.
            argv: the command and its arguments.

        Returns:
            The web socket, with a channel each for stdin, stdout and stderr.

        Raises:
            ApiError: it was refused. Errors of the connection are those of their libraries.
        """
        ...

    def forward(self, namespace: str, pod: str, port: int) -> Any:
        """Open a connection to a port of a pod.

        Args:
            namespace: of the pod.
            pod: its name.
            port: the port.

        Returns:
            What has its socket.

        Raises:
            ApiError: as for ``run``.
        """
        ...


def is_own_account(file: str, context: str) -> bool:
    """Whether a pod's own account is meant: this is one, and nothing else was named."""
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ and os.path.exists(NAMESPACE_FILE)
    return in_pod and not (file or context)
