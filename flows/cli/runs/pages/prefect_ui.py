"""``ebb open`` without a run: Prefect's UI in the browser, already signed in."""

from __future__ import annotations

import os
import webbrowser
from pathlib import Path

from ebbtide.flows.cli.output import print_json, say
from ebbtide.flows.cli.runs.pages.private import has_browser, leads_to
from ebbtide.flows.prefect_server import api, server
from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.settings import load_settings


def open_prefect(*, look_only: bool, as_json: bool) -> int:
    """Open the UI of this installation's server, or say where it is and what it asks for.

    Args:
        look_only: open nothing.
        as_json: print the same keys as for a run, on stdout.

    Returns:
        The exit code of the command.

    Raises:
        ConfigurationError: NO_DASHBOARD, no server of ours runs.
    """
    info = server.running(load_settings().home)
    if info is None:
        raise ConfigurationError([_no_server()])
    secret = api.auth_file(Path(info.home))
    opened = False
    if not look_only and has_browser():
        page = leads_to(info.open_url, secret.with_name("open.html"))
        opened = webbrowser.open(page.as_uri())
    if as_json:
        print_json(
            {
                "run": None,
                "url": info.ui_url,
                "user": None,
                "password_file": str(secret),
                "opened": opened,
            }
        )
    elif opened:
        say(f"  {info.ui_url} is opening in your browser")
    else:
        print(f"  Prefect   {info.ui_url}")
        print(f"  Password  in {secret}")
    return ExitCode.OK


def _no_server() -> Problem:
    named = api.named(os.environ)
    if named is not None:
        url = named.url.rstrip("/").removesuffix("/api")
        summary = f"PREFECT_API_URL names a server that is not ebb's: {url}"
        return Problem(Reason.NO_DASHBOARD, summary, "open it in your browser")
    hint = "ebb up, or ebb run; ebb open RUN is for a run's dashboard"
    return Problem(Reason.NO_DASHBOARD, "no Prefect server of this installation runs", hint)
