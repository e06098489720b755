"""``ebb open``: a dashboard in the browser, without typing its secret."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from urllib.parse import urlsplit

from ebbtide.flows.cli.output import Parser, known_run, print_json, say
from ebbtide.flows.cli.runs.open_prefect import open_prefect
from ebbtide.flows.cli.runs.private_page import has_browser, leads_to
from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.frameworks.door import OPEN_PATH
from ebbtide.infra.lifecycle.inventory import last_view
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.platforms.base import Login, load_platform
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.settings import load_settings

_DESCRIPTION = """Opens the dashboard of a run's cluster in your browser, already signed in; without
a run Prefect's UI. Without a browser, or with --print: the URL, the user, and which file holds the
password. JSON: an object with the keys run, url, user, password_file, opened."""


def main(args: list[str]) -> int:
    """Open a run's dashboard, or Prefect's UI."""
    parser = Parser("open", _DESCRIPTION)
    parser.add_argument("run", nargs="?")
    parser.add_argument("--print", action="store_true", help="say where it is; open nothing")
    options = parser.take(args)
    if options.run is None:
        return open_prefect(look_only=options.print, as_json=options.json)
    url, login = _dashboard(options.run)
    opened = not options.print and has_browser() and webbrowser.open(_page(url, login).as_uri())
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


def _dashboard(run: RunName) -> tuple[str, Login]:
    """Return the URL of a run's dashboard and how to sign in to it.

    Raises:
        ConfigurationError: NO_DASHBOARD, with what there is instead.
    """
    settings = load_settings()
    store = open_store(settings)
    found = known_run(store, run)
    view, spec = last_view(store, run), found.spec
    login = load_platform(spec.platform, settings).login(view.cluster) if view.dashboard else None
    if login is not None:
        return view.dashboard, login
    if not spec.cluster.has_workers:
        summary, hint = f"{run} has no cluster, and so no dashboard", f"ebb logs -f {run}"
    elif not found.over and not view.dashboard:
        summary, hint = f"{run} has no head yet", f"ebb why {run} says what it waits for"
    else:
        summary = f"the cluster of {run} is gone, and its dashboard with it"
        hint = f"what is kept: ebb logs {run}, ebb cost {run}"
    raise ConfigurationError([Problem(Reason.NO_DASHBOARD, summary, hint)])


def _page(url: str, login: Login) -> Path:
    """Write a private page that leads a browser to the dashboard, with the secret."""
    where = urlsplit(url)
    known = f"{login.user}:{login.password}@{where.netloc}"
    page = login.password_file.with_name("open.html")
    return leads_to(f"{where.scheme}://{known}{OPEN_PATH}", page)
