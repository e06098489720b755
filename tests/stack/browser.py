"""A real browser for the tests of pages."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic",
)  # fmt: skip
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
