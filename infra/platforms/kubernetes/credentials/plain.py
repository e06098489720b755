"""Credentials that a kubeconfig has in it: a certificate, a token, or the file with one.

Commands begin with them: the official client takes a third of a command's start to be imported.
What is not as plain as that (plugins, providers, proxies, several files, a pod's own account), and
whatever is wrong with a file, is left to it.
"""

from __future__ import annotations

import base64
import importlib.util
import ssl
import tempfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
import yaml
from urllib3.util.ssl_ import create_urllib3_context

from ebbtide.infra.loading import load
from ebbtide.infra.platforms.kubernetes.credentials.base import (
    POOL_SIZE,
    Channels,
    is_own_account,
)

_CONNECT = "ebbtide.infra.platforms.kubernetes.sockets.channels:connect"
_USUAL = "~/.kube/config"
_HTTPS = "https://"
_CLUSTER_KEYS = {"server", "certificate-authority", "certificate-authority-data", "extensions"}
_CERTIFICATE, _KEY = "client-certificate", "client-key"
_USER_KEYS = {
    "token",
    "tokenFile",
    *(f"{name}{kind}" for name in (_CERTIFICATE, _KEY) for kind in ("", "-data")),
}


@dataclass(frozen=True, slots=True)
class Plain:
    """See ``base.Credentials``."""

    server: str
    context: str
    namespace: str
    http: urllib3.PoolManager
    identity: object
    _token: str
    _tls: ssl.SSLContext

    def headers(self, method: str, path: str) -> Mapping[str, str]:
        """The token, where there is one."""
        del method, path
        return {"authorization": f"Bearer {self._token}"} if self._token else {}

    def channels(self, path: str, asked: str) -> Channels:
        """Over a connection of its own, with the same settings of TLS."""
        connect, headers = load(_CONNECT, "kubernetes"), self.headers("GET", path)
        found: Channels = connect(f"{self.server}{path}", self._tls, headers, asked)
        return found


def plain(file: str, context: str) -> Plain | None:
    """Read a context's credentials.

    Args:
        file: the kubeconfig; empty: kubectl's usual one.
        context: its name; empty: the current one.

    Returns:
        Them; None when they are not plain, or not right.
    """
    proxies = urllib.request.getproxies()
    if is_own_account(file, context) or {"http", "https", "all"} & proxies.keys():
        return None
    if importlib.util.find_spec("kubernetes") is None:
        return None  # it will be needed: whoever tries to load it says so
    path = Path(file or _USUAL).expanduser()
    try:
        found = yaml.safe_load(path.read_text())
        return _of(_Config(found, path.parent.absolute()), context)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError):
        return None  # several files, say; or it is wrong, which the official client says better


class _Config:
    """One file."""

    def __init__(self, found: Mapping[str, Any], folder: Path):
        self.current = str(found.get("current-context") or "")
        self._found, self._folder = found, folder

    def named(self, kind: str, name: str) -> Mapping[str, Any]:
        """The only one of this name in ``contexts``, ``clusters`` or ``users``."""
        (one,) = (each for each in self._found[f"{kind}s"] if each["name"] == name)
        inside: Mapping[str, Any] = one[kind]
        return inside

    def content(self, of: Mapping[str, Any], name: str) -> bytes:
        """What is there under a name, or in the file that it names; empty: nothing."""
        if data := of.get(f"{name}-data"):
            return base64.b64decode(data)
        return self.file(of[name]) if name in of else b""

    def file(self, name: str) -> bytes:
        """What is in a file; its name may start at the kubeconfig's folder."""
        return (self._folder / name).read_bytes()


def _of(config: _Config, name: str) -> Plain | None:
    name = name or config.current
    context = config.named("context", name)
    cluster = config.named("cluster", context["cluster"])
    user = config.named("user", context["user"])
    server = str(cluster["server"]).rstrip("/")
    trusted = config.content(cluster, "certificate-authority")
    if cluster.keys() - _CLUSTER_KEYS or user.keys() - _USER_KEYS:
        return None
    if not trusted or not server.startswith(_HTTPS):
        return None
    token = str(user.get("token") or "")
    if not token and "tokenFile" in user:
        token = config.file(user["tokenFile"]).decode().strip()
    shown = config.content(user, _CERTIFICATE), config.content(user, _KEY)
    tls = _tls(trusted, *shown)
    return Plain(
        server=server,
        context=name,
        namespace=str(context.get("namespace") or ""),
        http=urllib3.PoolManager(ssl_context=tls, maxsize=POOL_SIZE, retries=urllib3.Retry(0)),
        identity=(token, *shown),
        _token=token,
        _tls=tls,
    )


def _tls(trusted: bytes, certificate: bytes, key: bytes) -> ssl.SSLContext:
    tls = create_urllib3_context()
    tls.load_verify_locations(cadata=trusted.decode())
    if certificate:
        with tempfile.NamedTemporaryFile() as file:  # TLS reads files only
            file.write(certificate.rstrip() + b"\n" + key)
            file.flush()
            tls.load_cert_chain(file.name)
    return tls
