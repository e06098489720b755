"""The container ``files``: the package store of a cluster, and what stays when a program has ended.

It serves packages to whoever knows the cluster's secret, tells what its image has, and beside a
head it is the far end of tunnels. All else is run in it by exec: ``receive``, ``stream``,
``archive``. In a pod that is told to end it stays until what the program has left is taken.
"""

from __future__ import annotations

import argparse
import contextlib
import hmac
import math
import os
import re
import signal
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NoReturn

from ebbtide.infra.frameworks.door import basic, read_secret
from ebbtide.infra.platforms.kubernetes.inside import ending
from ebbtide.infra.platforms.kubernetes.inside.begin import versions
from ebbtide.infra.platforms.kubernetes.inside.packages import PATH, copy
from ebbtide.infra.platforms.kubernetes.inside.tunnel.far import Far
from ebbtide.infra.waiting import wait_until

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SLOW_S = 60.0
WAIT_S = 5.0
TAKEN_WITHIN_S = 15.0
"""After a program's end, in a pod that goes. Somebody may take it, or nobody is there."""
_LONGEST_PAUSE_S = 0.05
_LOOK_S = 1.0


class Store(ThreadingHTTPServer):
    """Answers ``GET /package/DIGEST``, and ``GET /versions/DISTRIBUTION``."""

    daemon_threads = True

    def __init__(self, bind: str, port: int, packages: Path, secrets: Path):
        """Listen; it serves when ``serve_forever`` is called.

        Args:
            bind: the address to listen on.
            port: the port; 0: any that is free.
            packages: the folder with the packages, each named by its digest.
            secrets: the folder with the cluster's secret.

        Raises:
            OSError: the port is taken.
        """
        super().__init__((bind, port), _Handler)
        self.packages, self.secrets = packages, secrets
        self.wait_s = WAIT_S
        """How long a question for a package that has not come is held, in seconds."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _SLOW_S

    def do_GET(self) -> None:
        store = self.server
        assert isinstance(store, Store)
        given = (self.headers.get("Authorization") or "").encode()
        if not hmac.compare_digest(given, basic(read_secret(store.secrets)).encode()):
            self._answer(HTTPStatus.UNAUTHORIZED, 0)
            return
        told = versions.answer(self.path)
        if told is not None:
            self._answer(HTTPStatus.OK, len(told))
            self.wfile.write(told)
            return
        digest = self.path.removeprefix(PATH)
        there = store.packages / digest
        asks_for_one = self.path.startswith(PATH) and _DIGEST.fullmatch(digest)
        if not asks_for_one or not wait_until(
            there.exists, timeout_s=store.wait_s, longest_s=_LONGEST_PAUSE_S
        ):
            self._answer(HTTPStatus.NOT_FOUND, 0)
            return
        with there.open("rb") as package, contextlib.suppress(OSError):  # who asked has gone
            self._answer(HTTPStatus.OK, os.fstat(package.fileno()).st_size)
            copy(package, self.wfile)  # type: ignore[arg-type]

    def _answer(self, status: HTTPStatus, bytes_: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(bytes_))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: each worker asks until the package has come."""


def stay(log: Path, *, taken_within_s: float = TAKEN_WITHIN_S) -> None:
    """Wait until a program has ended and what it has left was taken, or nobody takes it.

    Args:
        log: the folder of its wrapper.
        taken_within_s: how long that may take after its end, in seconds.
    """
    if ending.has_begun(log):
        wait_until(lambda: ending.read_end(log) is not None, timeout_s=_SLOW_S)
        wait_until(lambda: ending.is_collected(log), timeout_s=taken_within_s)


def leave_when_collected(log: Path, leave: Callable[[], object]) -> None:
    """End as soon as somebody has all that a program left: its pod then takes no room any more.

    Args:
        log: the folder of its wrapper.
        leave: called then.
    """
    wait_until(lambda: ending.is_collected(log), timeout_s=math.inf, longest_s=_LOOK_S)
    leave()


def _leave(log: Path) -> NoReturn:
    stay(log)
    os._exit(0)


def main() -> None:
    """Serve until the pod ends."""
    parser = argparse.ArgumentParser(prog="files")
    parser.add_argument("--bind", default="0.0.0.0")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--secrets", type=Path, required=True)
    parser.add_argument("--log", type=Path, help="of the program beside it")
    parser.add_argument("--leave", action="store_true", help="when that has been collected")
    parser.add_argument("--tunnel", type=int, help="the port for tunnels to the head beside it")
    parser.add_argument("--head", type=int, help="the head's port")
    told = parser.parse_args()
    if told.log is not None:
        signal.signal(signal.SIGTERM, lambda *_: _leave(told.log))
    store = Store(told.bind, told.port, told.packages, told.secrets)
    if told.leave:
        leaving = (told.log, lambda: os._exit(0))
        threading.Thread(target=leave_when_collected, args=leaving, daemon=True).start()
    if told.tunnel is not None:
        Far(told.tunnel, told.head)
    print(f"listens on {told.bind}:{store.server_port}", flush=True)
    store.serve_forever()


if __name__ == "__main__":
    main()
