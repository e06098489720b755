"""Says by HTTP whether a head or worker is ready, to whoever asks, and nothing else.

For probes: one a second that starts a program costs 9 % of a core, one over HTTP 0.2 %. Standard
library only: it is part of heads and workers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATH = "/ready"


def serve_ready(bind: str, port: int, ready: Callable[[], bool]) -> None:
    """Answer from a thread, for as long as the process lives; does nothing for port 0.

    Args:
        bind: the address to listen on.
        port: the port; 0: nowhere.
        ready: asked for each request, in that thread; must not wait.

    Raises:
        OSError: the port is taken.
    """
    if port == 0:
        return

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == PATH and ready()
            self.send_response(HTTPStatus.OK if found else HTTPStatus.SERVICE_UNAVAILABLE)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """A line a second would be all there is in the log."""

    server = ThreadingHTTPServer((bind, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="ready", daemon=True).start()
