"""``ebb open``: a run's dashboard in the browser, without typing its secret."""

from __future__ import annotations

import html
import os
import sys
import webbrowser
from pathlib import Path
from urllib.parse import urlsplit

from flows.cli.output import Parser, known_run, print_json, say
from infra.errors import ConfigurationError, Problem
from infra.frameworks.door import OPEN_PATH
from infra.ledger import Ledger
from infra.models.codec import from_json
from infra.models.job import RunSpec
from infra.models.phases import ExitCode, Reason
from infra.overview import last_view
from infra.platforms.base import Login, load_platform
from infra.settings import load_settings

_DESCRIPTION = """Opens the dashboard of a run's cluster in your browser, already signed in. Without
a browser, or with --print: its URL, the user, and which file holds the password. JSON: an object
with the keys run, url, user, password_file, opened."""
_PAGE = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0;url={url}">
<title>ebb open</title>
<p><a href="{url}">To the dashboard</a></p>
"""


def main(args: list[str]) -> int:
    """Open a run's dashboard."""
    parser = Parser("open", _DESCRIPTION)
    parser.add_argument("run", nargs="?")
    parser.add_argument("--print", action="store_true", help="say where it is; open nothing")
    options = parser.take(args)
    if options.run is None:
        problem = Problem(Reason.OPTION_INVALID, "which run?", "ebb ps lists those that live")
        raise ConfigurationError([problem])
    url, login = _dashboard(options.run)
    opened = not options.print and _has_browser() and webbrowser.open(_door(url, login).as_uri())
    if options.json:
        facts = {"user": login.user, "password_file": str(login.password_file), "opened": opened}
        print_json({"run": options.run, "url": url, **facts})
    elif opened:
        say(f"  {url} is opening in your browser")
    else:
        print(f"  Dashboard  {url}")
        print(f"  User       {login.user}")
        print(f"  Password   in {login.password_file}")
    return ExitCode.OK


def _dashboard(run: str) -> tuple[str, Login]:
    """Where it is and what it wants to be told.

    Raises:
        ConfigurationError: NO_DASHBOARD, with what there is instead.
    """
    settings = load_settings()
    ledger = Ledger(settings.home)
    row = known_run(ledger, run)
    view, spec = last_view(ledger, run), from_json(RunSpec, row["spec"])
    login = load_platform(spec.platform, settings).login(view.cluster) if view.dashboard else None
    if login is not None:
        return view.dashboard, login
    if not spec.cluster.has_workers:
        summary, hint = f"{run} has no cluster, and so no dashboard", f"ebb logs -f {run}"
    elif row["ended"] is None and not view.dashboard:
        summary, hint = f"{run} has no head yet", f"ebb why {run} says what it waits for"
    else:
        summary = f"the cluster of {run} is gone, and its dashboard with it"
        hint = f"what is kept: ebb logs {run}, ebb cost {run}"
    raise ConfigurationError([Problem(Reason.NO_DASHBOARD, summary, hint)])


def _door(url: str, login: Login) -> Path:
    """A page that leads there with the secret, which so stands on no command line."""
    where = urlsplit(url)
    page = login.password_file.with_name("open.html")
    page.unlink(missing_ok=True)
    descriptor = os.open(page, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        known = f"{login.user}:{login.password}@{where.netloc}"
        file.write(_PAGE.format(url=html.escape(f"{where.scheme}://{known}{OPEN_PATH}")))
    return page


def _has_browser() -> bool:
    """Not one for terminals: those follow no such page."""
    found = os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"}
    return bool(found) or sys.platform == "darwin"
