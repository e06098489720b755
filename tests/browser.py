"""A real browser, and a page of another origin, for the tests of what pages show and can do."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

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
        yield context
        browser.close()


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
