"""Requests to one API server, and the commands and ports of its pods.

Safe for several threads. Does not belong here: objects (``api``), and who asks (``credentials``).
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

from ebbtide.infra.errors import EbbError
from ebbtide.infra.loading import load
from ebbtide.infra.platforms.kubernetes.answers.bodies import CHUNK_BYTES, ahead_s, innermost
from ebbtide.infra.platforms.kubernetes.api_error import (
    UNAUTHORIZED,
    ApiError,
    Silence,
    from_answer,
)
from ebbtide.infra.platforms.kubernetes.credentials.base import Credentials, Sockets
from ebbtide.infra.platforms.kubernetes.credentials.plain import plain
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
        self._preparing = threading.Lock()
        file = access.kubeconfig or os.environ.get("KUBECONFIG", "")
        self._credentials, self._ready = _read(file, access.context)
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

    def prepare(self) -> None:
        """Get ready for commands and ports in pods, which takes long at first: while others wait.

        Raises:
            ConfigurationError: PLATFORM_UNUSABLE, the credentials are not there any more.
        """
        self._sockets()

    def _sockets(self) -> Sockets:
        with self._preparing:
            if self._ready is None:
                self._ready = _official(self.access.kubeconfig, self.access.context)
            return self._ready

    def _renewed(self, used: object) -> bool:
        """Whether there are other credentials now where those that were refused came from."""
        with self._reading:
            if self._credentials.identity != used:
                return True
            if now_s() - self._read_s < _READ_AGAIN_S:
                return False
            self._read_s = now_s()
            with contextlib.suppress(EbbError, OSError):  # half written, or gone for a moment
                found, ready = _read(self.access.kubeconfig, self.access.context)
                if found.server == self.server and found.identity != used:
                    with self._preparing:
                        self._credentials, self._ready = found, ready
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
        asked = f"exec in {pod}"
        with _translated(asked):
            socket = self._sockets().run(self.namespace, pod, container, argv)
        self._count(asked)
        return Exec(socket, asked)

    def connect(self, pod: str, port: int) -> Any:
        """Open a connection to a port of a pod, through the API server.

        Returns:
            A socket; closing it ends the connection.

        Raises:
            ApiError: there is no such pod, or it does not run.
        """
        with _translated(f"port-forward to {pod}"):
            forward = self._sockets().forward(self.namespace, pod, port)
        self._count(f"port-forward to {pod}")
        return Forwarded(forward, port)

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


class _Nothing:
    """A file that keeps nothing."""

    def write(self, data: bytes) -> int:
        """Take what is written."""
        return len(data)


class Forwarded:
    """A socket whose end is that of its web socket, which the client else leaves open at times."""

    def __init__(self, forward: Any, port: int):
        self._forward, self._socket = forward, forward.socket(port)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def close(self) -> None:
        """End it."""
        self._socket.close()
        with contextlib.suppress(Exception):  # as for ``Exec``
            self._forward.websocket.shutdown()


class Exec:
    """A command that runs in a container; a context manager that ends the connection."""

    def __init__(self, socket: Any, asked: str):
        self._socket, self._asked = socket, asked
        # It keeps all that ever came, and takes all frames that are there at once by adding one to
        # the others: 28 MB took it 35 s, and the server cut off what it had not fetched by then.
        socket._all = _Nothing()
        socket._frames_immediately_available = lambda: False

    def __enter__(self) -> Exec:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):  # as for what it was used for: the connection is lost
            self._socket.close()
            self._socket.sock.shutdown()  # it stays open when the other end was quicker

    def write(self, data: bytes) -> None:
        """Send to its stdin. There is no end of it: say a length first."""
        with _translated(self._asked):
            for start in range(0, len(data), CHUNK_BYTES):
                self._socket.write_stdin(data[start : start + CHUNK_BYTES])

    def read(self, timeout_s: float) -> bytes | None:
        """Return what it has printed; empty when nothing has come in time, None when it ended.

        Raises:
            ApiError: the connection was lost.
        """
        with _translated(self._asked):
            found: bytes = self._socket.read_stdout(timeout=timeout_s)
            if not found and not self._socket.is_open():
                return None
            return found or b""

    @property
    def code(self) -> int | None:
        """Its exit code; None when it is not known: it runs, or the connection was lost."""
        code: int | None = self._socket.returncode
        return code

    @property
    def errors(self) -> str:
        """What it has printed to stderr since this was last asked."""
        with contextlib.suppress(Exception):  # the connection is lost, and what was on its way
            return bytes(self._socket.read_stderr(timeout=0) or b"").decode(errors="replace")
        return ""


def _read(file: str, context: str) -> tuple[Credentials, Sockets | None]:
    """Credentials for requests; and for sockets, where they are the same."""
    found = plain(file, context)
    if found is not None:
        return found, None
    official = _official(file, context)
    return official, official


def _official(file: str, context: str) -> Sockets:
    found: Sockets = load(_OFFICIAL, "kubernetes")(file, context)
    return found


@contextlib.contextmanager
def _translated(asked: str) -> Iterator[None]:
    """Errors of libraries as ours."""
    try:
        yield
    except ApiError:
        raise
    except Exception as error:  # of sockets, HTTP and web sockets, each with a tree of its own
        raise ApiError(0, type(error).__name__, innermost(error), asked=asked) from error
