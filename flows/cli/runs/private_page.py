"""A page of the owner that leads a browser on with a secret: it stands on no command line."""

from __future__ import annotations

import html
import os
import sys
from pathlib import Path

_PAGE = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0;url={url}">
<title>ebb open</title>
<p><a href="{url}">Go on</a></p>
"""


def leads_to(url: str, page: Path) -> Path:
    """Write the page anew, readable by its owner only, and return its path.

    Args:
        url: with the secret in it.
        page: a path in a private folder.
    """
    page.unlink(missing_ok=True)
    descriptor = os.open(page, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(_PAGE.format(url=html.escape(url)))
    return page


def has_browser() -> bool:
    """Whether there is a graphical browser; those of terminals do not follow such a page."""
    found = os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"}
    return bool(found) or sys.platform == "darwin"
