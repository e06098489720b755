"""Trying a socket without what its owner knows: each of these is true when it got nothing.

A probe is strict: it is true for the protection it is named after, and false for a server that has
none, whatever else that speaks.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import grpc

from tests.security.sockets import Listener

_PATIENCE_S = 10.0
_PAGES = ("/nodes?view=summary", "/api/v0/nodes", "/metrics", "/logs", "/json/", "/ebb/status")
_RPCS = (
    "ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "ray.rpc.InternalKVGcsService/InternalKVKeys",
    "ray.rpc.NodeManagerService/GetNodeStats",
    "ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "ray.rpc.ObjectManagerService/Push",
    "ray.rpc.ObjectManagerService/Pull",
    "ray.rpc.ReporterService/GetTraceback",
)
_SPARK_QUESTION, _SPARK_FAILURE = 3, b"\x05"
"""Types of Spark's messages: RpcRequest and RpcFailure."""


def http_status(listener: Listener, path: str, **headers: str) -> int | None:
    """Of a GET; None when it speaks no HTTP."""
    connection = http.client.HTTPConnection(listener.address, listener.port, timeout=_PATIENCE_S)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path, headers=headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None


def secret(listener: Listener) -> bool:
    """Ours: nothing without the secret, and not by a name that is not this machine's."""
    asked = {http_status(listener, path) for path in ("/", "/health", "/status", *_PAGES)}
    foreign = {http_status(listener, path, Host="evil.example") for path in ("/", "/ebb/status")}
    return asked == {401} and foreign == {403}


def signature(listener: Listener) -> bool:
    """Spark's filter: no page without a signed token."""
    pages = ("/", "/environment/", "/jobs/", "/executors/threadDump/", "/logPage/", "/log/")
    apis = ("/json/", "/api/v1/applications", "/static/webui.css", "/metrics/json/")
    asked = {http_status(listener, path) for path in (*pages, *apis)}
    foreign = http_status(listener, "/", Host="evil.example")
    return asked == {403} and foreign == 403


def token(listener: Listener) -> bool:
    """Ray's: its pages without figures are open, all else wants the token."""
    asked = {http_status(listener, path) for path in _PAGES}
    foreign = http_status(listener, _PAGES[0], Host="evil.example")
    return asked == {401} and foreign == 401


def rpc_token(listener: Listener) -> bool:
    """Ray's, over gRPC."""
    codes = set()
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"{listener.address}:{listener.port}", options) as channel:
        for name in _RPCS:
            try:
                channel.unary_unary(f"/{name}")(b"", timeout=_PATIENCE_S)
                return False
            except grpc.RpcError as error:
                codes.add(error.code())
    unknown = grpc.StatusCode.UNIMPLEMENTED
    return grpc.StatusCode.UNAUTHENTICATED in codes and codes <= {
        grpc.StatusCode.UNAUTHENTICATED,
        unknown,
    }


def certificate(listener: Listener) -> bool:
    """TLS that ends when the other side has no certificate of the cluster."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((listener.address, listener.port), _PATIENCE_S) as plain,
            context.wrap_socket(plain) as wrapped,
        ):
            return wrapped.recv(1) == b""
    except ssl.SSLError as error:
        return "CERTIFICATE_REQUIRED" in str(error.reason)
    except OSError:
        return False


def sasl(listener: Listener) -> bool:
    """Spark's channels answer a question before the secret has been proved by a failure only."""
    body = b"anybody"
    question = struct.pack(">BqI", _SPARK_QUESTION, 1, len(body)) + body
    answer = _said(listener, struct.pack(">q", 8 + len(question)) + question)
    return answer[8:9] == _SPARK_FAILURE and b"Expected SaslMessage" in answer


def py4j(listener: Listener) -> bool:
    """The driver's JVM obeys its own Python only, which knows a secret."""
    return _said(listener, b"r\nu\njava.lang.System\ne\n").startswith(b"!xsAuthentication error")


def daemon_secret(listener: Listener) -> bool:
    """PySpark's workers want a secret before a task."""
    return _said(listener, struct.pack(">i", 6) + b"nobody" + bytes(256)).endswith(b"err")


def accumulator_secret(listener: Listener) -> bool:
    """The driver's accumulators listen to nobody but its own JVM, and say nothing."""
    return _said(listener, b"nobody\r\n\r\n" * 50) == b""


def prefect_auth(listener: Listener) -> bool:
    """Prefect's API answers nobody without its auth string, by whatever name it is called."""
    asked = {_prefect_status(listener, host) for host in (None, "evil.example")}
    return asked <= {400, 401, 403} and _prefect_status(listener, None) == 401


def _prefect_status(listener: Listener, host: str | None) -> int | None:
    connection = http.client.HTTPConnection(listener.address, listener.port, timeout=_PATIENCE_S)
    headers = {"Content-Type": "application/json"} | ({"Host": host} if host else {})
    with contextlib.closing(connection):
        try:
            connection.request("POST", "/api/flow_runs/filter", b"{}", headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None


def control_token(listener: Listener) -> bool:
    """Where flow runs' processes hear of a cancel: it hangs up on who has no token of one."""
    where = (listener.address, listener.port)
    with socket.create_connection(where, timeout=_PATIENCE_S) as connection:
        connection.sendall(b"0" * 43 + b"\n")
        return connection.recv(1) == b""


def private_folder(listener: Listener) -> bool:
    """A unix socket below a folder that only its owner can enter."""
    path = Path(listener.address).resolve()
    return any(_is_private(folder) for folder in path.parents)


Probe = Callable[[Listener], bool]


def _is_private(folder: Path) -> bool:
    found = folder.stat()
    return found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077


def _said(listener: Listener, words: bytes) -> bytes:
    """What comes back until it is closed, or for a second."""
    answer = b""
    with (
        contextlib.suppress(OSError),
        socket.create_connection((listener.address, listener.port), 1.0) as connection,
    ):
        connection.sendall(words)
        while data := connection.recv(4096):
            answer += data
    return answer
