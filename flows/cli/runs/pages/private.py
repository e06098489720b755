"""A page of the owner that leads a browser on with a secret: it stands on no command line."""

from __future__ import annotations

import html
import os
import sys
import webbrowser
from pathlib import Path
from urllib.parse import urlsplit

from ebbtide.flows.cli.output import print_json, say
from ebbtide.infra.frameworks.door import OPEN_PATH
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.platforms.base import Login

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


def bring_in(run: RunName, url: str, login: Login, *, look_only: bool, as_json: bool) -> None:
    """Open a page that wants to be told who comes, or say where it is and what it wants.

    Args:
        run: whose page it is.
        url: of the page, without the secret.
        login: with the secret.
        look_only: whether no browser is to be opened.
        as_json: whether it is said as JSON.
    """
    opened = not look_only and has_browser() and webbrowser.open(_signed_in(url, login).as_uri())
    if as_json:
        facts = {"user": login.user, "password_file": str(login.password_file), "opened": opened}
        print_json({"run": run, "url": url, **facts, "files": []})
    elif opened:
        say(f"  {url} is opening in your browser")
    else:
        print(f"  Dashboard  {url}")
        print(f"  User       {login.user}")
        print(f"  Password   in {login.password_file}", flush=True)


def _signed_in(url: str, login: Login) -> Path:
    """Write a private page that leads a browser to the dashboard, with the secret."""
    where = urlsplit(url)
    known = f"{login.user}:{login.password}@{where.netloc}"
    page = login.password_file.with_name("open.html")
    return leads_to(f"{where.scheme}://{known}{OPEN_PATH}", page)
