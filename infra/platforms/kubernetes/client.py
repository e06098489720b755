"""Requests to one API server, and the commands and ports of its pods.

Safe for several threads. Does not belong here: objects (``api``), and who asks (``credentials``).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

from ebbtide.infra.errors import EbbError
from ebbtide.infra.loading import load
from ebbtide.infra.platforms.kubernetes.answers.bodies import ahead_s, innermost
from ebbtide.infra.platforms.kubernetes.api_error import (
    UNAUTHORIZED,
    ApiError,
    Silence,
    from_answer,
)
from ebbtide.infra.platforms.kubernetes.credentials.base import Channels, Credentials
from ebbtide.infra.platforms.kubernetes.credentials.plain import plain
from ebbtide.infra.platforms.kubernetes.kinds import POD
from ebbtide.infra.platforms.kubernetes.sockets.command import Exec, as_api_errors
from ebbtide.infra.platforms.kubernetes.sockets.port import lead
from ebbtide.infra.waiting import now_s, wall_s

ANSWER_S = 30.0
"""How long an answer may take, in seconds."""
CONNECT_S = 5.0
REQUESTS_FILE = "EBB_REQUESTS_FILE"
"""Names a file to which every process adds a line for each request, with the time and its own id.
For tests and benchmarks that count them: a run has several processes."""
_READ_AGAIN_S = 2.0
"""Credentials that are refused are read again, but not more often."""
_DEFAULT_NAMESPACE = "default"
_OFFICIAL = "ebbtide.infra.platforms.kubernetes.credentials.official:Official"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a Kubernetes cluster is reached: kubectl's rules, and in a pod that pod's account."""

    context: str = ""
    """Of the kubeconfig; empty: its current one, or the pod's own account where there is none."""
    namespace: str = ""
    """Empty: the context's, or the pod's own."""
    kubeconfig: str = ""
    """The file, or several with colons; empty: KUBECONFIG, or kubectl's usual one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question to the API server."""

    method: str = "GET"
    path: str
    """From the server's root."""
    query: Mapping[str, Any] = field(default_factory=dict)
    body: object = None
    """Bytes, or what is sent as JSON; None: nothing."""
    content_type: str = "application/json"
    """Of the body."""
    accept: str = "application/json"
    """How the answer is to be written, such as without all but the metadata."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Connection:
    """One API server, with credentials."""

    def __init__(self, access: Access):
        """Read the credentials; nothing is asked yet.

        Raises:
            ConfigurationError: PLATFORM_UNUSABLE, there are no credentials, or not of this context.
        """
        self._reading, self._read_s = threading.Lock(), 0.0
        self._accepted = False
        file = access.kubeconfig or os.environ.get("KUBECONFIG", "")
        self._credentials = _read(file, access.context)
        self.namespace = access.namespace or self._credentials.namespace or _DEFAULT_NAMESPACE
        context = self._credentials.context
        self.access = Access(context=context, namespace=self.namespace, kubeconfig=file)
        self.asked = 0
        """How many requests have been sent, for tests and benchmarks that count them."""
        self.silence = Silence()
        """Outages of the server, as this process meets them."""
        self.ahead_s = 0.0
        """By how much the server's clock is ahead of ours, in seconds; less than two
        count as none."""

    @property
    def server(self) -> str:
        """The server's URL."""
        return self._credentials.server

    def close(self) -> None:
        """Close all connections."""
        self._credentials.http.clear()

    def send(
        self, request: Request, *, timeout_s: float = ANSWER_S, whole: bool = True
    ) -> urllib3.BaseHTTPResponse:
        """Send one request, once; again with new credentials, where there are any since.

        Args:
            request: what is asked.
            timeout_s: until it answers, and between two pieces of the answer, in seconds.
            whole: whether to read the answer at once; else see ``pieces``.

        Returns:
            The answer.

        Raises:
            ApiError: it was refused, or there was none.
        """
        used = self._credentials.identity
        try:
            return self._send(request, timeout_s, whole)
        except ApiError as error:
            if error.status != UNAUTHORIZED or not self._renewed(used):
                raise
        return self._send(request, timeout_s, whole)

    def _send(self, request: Request, timeout_s: float, whole: bool) -> urllib3.BaseHTTPResponse:
        credentials, body = self._credentials, request.body
        headers = {"Accept": request.accept, **credentials.headers(request.method, request.path)}
        if body is not None:
            headers["Content-Type"] = request.content_type
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        query = f"?{urlencode(request.query)}" if request.query else ""
        self._count(f"{request}{query}")
        if whole:
            self.silence.asked()
        try:
            answer = credentials.http.request(
                request.method,
                f"{credentials.server}{request.path}{query}",
                body=data,
                headers=headers,
                preload_content=whole,
                timeout=urllib3.Timeout(connect=CONNECT_S, read=timeout_s),
                retries=False,
            )
        except urllib3.exceptions.HTTPError as error:
            self.silence.asked()  # of a watch too, which may be the only one that asks meanwhile
            raise ApiError(0, type(error).__name__, innermost(error), asked=str(request)) from error
        self.ahead_s = ahead_s(answer.headers.get("Date"), self.ahead_s)
        if answer.status == UNAUTHORIZED and self._accepted:
            refusal = from_answer(str(request), answer.status, answer.data, answer.headers)
            refusal.expired = True
            self.silence.failed(refusal)
            raise refusal
        self.silence.answered()
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise from_answer(str(request), answer.status, answer.data, answer.headers)
        self._accepted = True
        return answer

    def _renewed(self, used: object) -> bool:
        """Whether there are other credentials now where those that were refused came from."""
        with self._reading:
            if self._credentials.identity != used:
                return True
            if now_s() - self._read_s < _READ_AGAIN_S:
                return False
            self._read_s = now_s()
            with contextlib.suppress(EbbError, OSError):  # half written, or gone for a moment
                found = _read(self.access.kubeconfig, self.access.context)
                if found.server == self.server and found.identity != used:
                    self._credentials = found
        return self._credentials.identity != used

    def run(self, pod: str, container: str, argv: Sequence[str]) -> Exec:
        """Start a command in a container that runs, with stdin, stdout and stderr.

        Args:
            pod: its name.
            container: its name in the pod.
            argv: the command and its arguments.

        Returns:
            The command that runs.

        Raises:
            ApiError: it cannot be started.
        """
        streams = [(name, "true") for name in ("stdin", "stdout", "stderr")]
        query = [("container", container), *(("command", word) for word in argv), *streams]
        asked = f"exec in {pod}"
        return Exec(self._channels(pod, "exec", query, asked), asked)

    def connect(self, pod: str, port: int) -> socket.socket:
        """Open a connection to a port of a pod, through the API server.

        Returns:
            A socket; closing it ends the connection.

        Raises:
            ApiError: there is no such pod, or it does not run.
        """
        asked = f"port-forward to {pod}"
        return lead(self._channels(pod, "portforward", [("ports", str(port))], asked), asked)

    def _channels(
        self, pod: str, what: str, query: Sequence[tuple[str, str]], asked: str
    ) -> Channels:
        path = f"{POD.path(self.namespace, pod, what)}?{urlencode(query)}"
        with as_api_errors(asked):
            found = self._credentials.channels(path, asked)
        self._count(asked)
        return found

    def _count(self, asked: str) -> None:
        self.asked += 1
        path = os.environ.get(REQUESTS_FILE)
        if path:
            with Path(path).open("a") as file:
                file.write(f"{wall_s():.3f} {os.getpid()} {asked}\n")


class Hangup:
    """Ends answers that another thread reads, and all that would follow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answer: urllib3.BaseHTTPResponse | None = None
        self.done = False
        """Whether it has been hung up."""

    def hold(self, answer: urllib3.BaseHTTPResponse) -> None:
        """Remember what is read now."""
        with self._lock:
            self._answer = answer
        if self.done:
            self.hang_up()

    def hang_up(self) -> None:
        """Let whoever reads see the end of the answer at once."""
        self.done = True
        with self._lock:
            answer, self._answer = self._answer, None
        if answer is not None:
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                answer.shutdown()


def _read(file: str, context: str) -> Credentials:
    found = plain(file, context)
    return found if found is not None else _official(file, context)


def _official(file: str, context: str) -> Credentials:
    found: Credentials = load(_OFFICIAL, "kubernetes")(file, context)
    return found
