"""The official client: the one module that imports it.

It is used for what it does well: credentials of every kind, which renew themselves, and the web
sockets of exec and port-forward. Loaded by name when it is needed: its import takes long.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.stream import ws_client

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.api_error import from_answer
from ebbtide.infra.platforms.kubernetes.credentials.base import (
    NAMESPACE_FILE,
    POOL_SIZE,
    is_own_account,
)
from ebbtide.infra.platforms.kubernetes.kinds import POD


class Official:
    """See ``base.Credentials``; and commands and ports of pods."""

    def __init__(self, file: str, context: str):
        """Read them.

        Args:
            file: the kubeconfig, or several with colons; empty: kubectl's usual one.
            context: its name; empty: the current one, or the pod's own account where there is none.

        Raises:
            ConfigurationError: PLATFORM_UNUSABLE, there are none, or not of this context.
        """
        self._settings, self.context, self.namespace = _read(file, context)
        self._settings.connection_pool_maxsize = POOL_SIZE
        self._settings.retries = urllib3.Retry(0)
        self._client = client.ApiClient(self._settings)
        self.http: urllib3.PoolManager = self._client.rest_client.pool_manager
        self.identity = _identity(self._settings)

    @property
    def server(self) -> str:
        """The server's URL."""
        return str(self._settings.host)

    def headers(self, method: str, path: str) -> Mapping[str, str]:
        """As the official client fills them in."""
        headers: dict[str, str] = {}
        self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, None)
        return headers

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
        streams = [(name, "true") for name in ("stdin", "stdout", "stderr")]
        query = [("container", container), ("command", list(argv)), *streams]
        with _translated(f"exec in {pod}"):
            return ws_client.websocket_call(
                self._settings,
                "GET",
                self._url(namespace, pod, "exec"),
                query_params=query,
                headers=self.headers("GET", pod),
                _preload_content=False,
                binary=True,
            )

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
        with _translated(f"port-forward to {pod}"):
            return ws_client.portforward_call(
                self._settings,
                "GET",
                self._url(namespace, pod, "portforward"),
                query_params=[("ports", str(port))],
                headers=self.headers("GET", pod),
            )

    def _url(self, namespace: str, pod: str, what: str) -> str:
        """Without the client's classes of objects: their import takes longer than all of its."""
        return f"{self.server}{POD.path(namespace, pod, what)}"


def _read(file: str, context: str) -> tuple[client.Configuration, str, str]:
    """The settings of a context, its name and its namespace."""
    settings = type.__call__(client.Configuration)
    try:
        if is_own_account(file, context):
            config.load_incluster_config(settings)
            return settings, "", Path(NAMESPACE_FILE).read_text().strip()
        config.load_kube_config(
            file or None, context or None, client_configuration=settings, persist_config=False
        )
        return settings, *_context(file or None, context)
    except config.ConfigException as error:
        summary = f"there is no way to a Kubernetes cluster: {error}"
        hint = "kubectl config get-contexts lists contexts; --context names one, KUBECONFIG a file"
        raise ConfigurationError([Problem(Reason.PLATFORM_UNUSABLE, summary, hint)]) from error


def _identity(settings: client.Configuration) -> object:
    files = (settings.cert_file, settings.key_file)
    kept = tuple(Path(file).read_bytes() for file in files if file)
    return dict(settings.api_key), settings.username, settings.password, kept


def _context(file: str | None, context: str) -> tuple[str, str]:
    """The name and the namespace of a context, or of the current one."""
    contexts, current = config.list_kube_config_contexts(file)
    named = {each["name"]: each for each in contexts}
    found = named.get(context) or current or {}
    return str(found.get("name", "")), str(found.get("context", {}).get("namespace") or "")


@contextlib.contextmanager
def _translated(asked: str) -> Iterator[None]:
    """The official client's own errors as ours."""
    try:
        yield
    except client.ApiException as error:
        body = error.body or str(error.reason)
        body = body if isinstance(body, bytes) else str(body).encode()
        raise from_answer(asked, error.status or 0, body, {}) from error
