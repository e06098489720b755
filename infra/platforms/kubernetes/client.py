"""Requests to one API server: the one module that imports the official client.

It is used for what it does well: kubeconfig and in-cluster credentials that renew themselves, TLS,
exec and port-forward. Safe for several threads. Does not belong here: objects (``api``).
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
from kubernetes import client, config
from kubernetes.stream import portforward, stream
from kubernetes.stream.ws_client import PortForward, WSClient

from ebbtide.infra.errors import ConfigurationError, EbbError, Problem
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.answers.bodies import CHUNK_BYTES, ahead_s, innermost
from ebbtide.infra.platforms.kubernetes.api_error import (
    UNAUTHORIZED,
    ApiError,
    Silence,
    from_answer,
)
from ebbtide.infra.waiting import now_s, wall_s

ANSWER_S = 30.0
"""How long an answer may take, in seconds."""
CONNECT_S = 5.0
REQUESTS_FILE = "EBB_REQUESTS_FILE"
"""Names a file to which every process adds a line for each request, with the time and its own id.
For tests and benchmarks that count them: a run has several processes."""
_POOL_SIZE = 16
_READ_AGAIN_S = 2.0
"""Credentials that are refused are read again, but not more often."""
_DEFAULT_NAMESPACE = "default"
_NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"


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
        settings, self.access = _credentials(access)
        self._reading, self._read_s = threading.Lock(), 0.0
        self._accepted = False
        self._use(settings)
        self.namespace = self.access.namespace
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
        return str(self._settings.host)

    def close(self) -> None:
        """Close all connections."""
        self._http.clear()

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
        used = self._identity
        try:
            return self._send(request, timeout_s, whole)
        except ApiError as error:
            if error.status != UNAUTHORIZED or not self._renewed(used):
                raise
        return self._send(request, timeout_s, whole)

    def _send(self, request: Request, timeout_s: float, whole: bool) -> urllib3.BaseHTTPResponse:
        headers, body = {"Accept": request.accept}, request.body
        if body is not None:
            headers["Content-Type"] = request.content_type
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        auth = ["BearerToken"]
        self._client.update_params_for_auth(headers, [], auth, request.path, request.method, None)
        query = f"?{urlencode(request.query)}" if request.query else ""
        self._count(f"{request}{query}")
        if whole:
            self.silence.asked()
        try:
            answer = self._http.request(
                request.method,
                f"{self.server}{request.path}{query}",
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

    def _use(self, settings: client.Configuration) -> None:
        settings.connection_pool_maxsize = _POOL_SIZE
        settings.retries = urllib3.Retry(0)
        self._settings, self._identity = settings, _identity(settings)
        self._client = client.ApiClient(settings)
        self._http: urllib3.PoolManager = self._client.rest_client.pool_manager

    def _renewed(self, used: object) -> bool:
        """Whether there are other credentials now where those that were refused came from."""
        with self._reading:
            if self._identity != used:
                return True
            if now_s() - self._read_s < _READ_AGAIN_S:
                return False
            self._read_s = now_s()
            with contextlib.suppress(EbbError, OSError):  # half written, or gone for a moment
                settings, _ = _credentials(self.access)
                if settings.host == self.server and _identity(settings) != used:
                    self._use(settings)
        return self._identity != used

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
            socket = stream(
                client.CoreV1Api(client.ApiClient(self._settings)).connect_get_namespaced_pod_exec,
                pod,
                self.namespace,
                container=container,
                command=list(argv),
                stdin=True,
                stdout=True,
                stderr=True,
                tty=False,
                binary=True,
                _preload_content=False,
            )
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
            core = client.CoreV1Api(client.ApiClient(self._settings))
            forward = portforward(
                core.connect_get_namespaced_pod_portforward, pod, self.namespace, ports=str(port)
            )
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

    def __init__(self, forward: PortForward, port: int):
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

    def __init__(self, socket: WSClient, asked: str):
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


def _credentials(access: Access) -> tuple[client.Configuration, Access]:
    """The settings of a context, and what was chosen where the access left it open."""
    settings = type.__call__(client.Configuration)
    file = access.kubeconfig or os.environ.get("KUBECONFIG") or None
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ and os.path.exists(_NAMESPACE_FILE)
    try:
        if in_pod and not (access.context or file):
            config.load_incluster_config(settings)
            name, own = "", Path(_NAMESPACE_FILE).read_text().strip()
        else:
            config.load_kube_config(
                file, access.context or None, client_configuration=settings, persist_config=False
            )
            name, own = _context(file, access.context)
    except config.ConfigException as error:
        summary = f"there is no way to a Kubernetes cluster: {error}"
        hint = "kubectl config get-contexts lists contexts; --context names one, KUBECONFIG a file"
        raise ConfigurationError([Problem(Reason.PLATFORM_UNUSABLE, summary, hint)]) from error
    namespace = access.namespace or own or _DEFAULT_NAMESPACE
    return settings, Access(context=name, namespace=namespace, kubeconfig=file or "")


def _identity(settings: client.Configuration) -> object:
    """What tells credentials from others: never shown."""
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
    """Errors of the official client as ours."""
    try:
        yield
    except client.ApiException as error:
        body = (error.body or str(error.reason)).encode() if not error.body else error.body
        body = body if isinstance(body, bytes) else str(body).encode()
        raise from_answer(asked, error.status or 0, body, {}) from error
    except Exception as error:  # of sockets, HTTP and web sockets, each with a tree of its own
        raise ApiError(0, type(error).__name__, innermost(error), asked=asked) from error
