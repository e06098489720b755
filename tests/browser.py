"""A real browser, and a page of another origin, for the tests of what pages show and can do."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections import deque
from collections.abc import Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import BrowserContext, Error, Page, Request, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
FLAGS: tuple[str, ...] = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic",
)  # fmt: skip
if not os.environ.get("EBB_SCREENSHOTS"):
    FLAGS += ("--disable-software-rasterizer",)  # the graph of a run, in WebGL, would take a core
PATIENCE_MS = 90_000


@contextlib.contextmanager
def chromium(*flags: str) -> Iterator[BrowserContext]:
    """A browser of its own, without any history; ``flags`` are further ones of its command line."""
    if not CHROMIUM:
        pytest.skip("the tests of the UI need Chromium: sudo apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        context = browser.new_context(viewport={"width": 1280, "height": 1100})
        context.set_default_timeout(PATIENCE_MS)
        with _recorded(context):
            yield context
        browser.close()


class Recorder:
    """What a browser asked for in vain: a page that stays empty says nothing else of its cause."""

    def __init__(self, context: BrowserContext):
        """Listen to all that is asked from now on."""
        self._context = context
        self._pending: set[Request] = set()
        self._failed: deque[str] = deque(maxlen=30)
        context.on("request", self._asked)
        context.on("requestfinished", self._finished)
        context.on("requestfailed", self._lost)

    def _asked(self, request: Request) -> None:
        self._pending.add(request)

    def _finished(self, request: Request) -> None:
        self._pending.discard(request)
        answer = request.response()
        if answer is not None and answer.status >= 400:
            self._failed.append(f"{answer.status} {request.method} {request.url}")

    def _lost(self, request: Request) -> None:
        self._pending.discard(request)
        self._failed.append(f"{request.failure} {request.method} {request.url}")

    def lines(self) -> Iterator[str]:
        """Requests without an answer and with a bad one, and what each tab shows."""
        yield from (f"no answer yet: {request.method} {request.url}" for request in self._pending)
        yield from self._failed
        for page in self._context.pages:
            with contextlib.suppress(Error):
                yield f"{page.url} shows:\n{page.inner_text('body')[:2000]}"


_OPEN: list[Recorder] = []


@contextlib.contextmanager
def _recorded(context: BrowserContext) -> Iterator[None]:
    _OPEN.append(Recorder(context))
    yield
    _OPEN.pop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell beside a failed test what the open browsers met; for a folder's ``conftest.py``."""
    report = yield
    if report.failed and report.when == "call":
        lines = [line for recorder in _OPEN for line in recorder.lines()]
        report.sections += [("what the browser met", "\n".join(lines))] if lines else []
    return report


@contextlib.contextmanager
def tab() -> Iterator[Page]:
    """One tab of a browser of its own, which has never been anywhere."""
    with chromium() as browser:
        yield browser.new_page()


@contextlib.contextmanager
def other_origin() -> Iterator[str]:
    """A page on another port of this machine, as another user could serve one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>other</title>")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
