"""The official client: the one module that imports it.

It is used for what it does well: credentials of every kind, which renew themselves, and reaching a
server with them. Loaded by name when it is needed: its import takes long.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import urllib3
import websocket
from kubernetes import client, config
from kubernetes.stream import ws_client

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.credentials.base import (
    NAMESPACE_FILE,
    POOL_SIZE,
    Channels,
    is_own_account,
)
from ebbtide.infra.platforms.kubernetes.sockets.channels import WebSocketChannels, refused


class Official:
    """See ``infra.platforms.kubernetes.credentials.base.Credentials``."""

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

    def channels(self, path: str, asked: str) -> Channels:
        """Opened by the official client, which knows its proxies and names of servers."""
        headers = self.headers("GET", path)
        url = ws_client.get_websocket_url(f"{self.server}{path}")
        try:
            return WebSocketChannels(ws_client.create_websocket(self._settings, url, headers))
        except websocket.WebSocketBadStatusException as error:
            raise refused(error, asked) from error


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
