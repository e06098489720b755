"""``ebb open`` without a run, or with ``--prefect``: Prefect's UI in the browser, signed in."""

from __future__ import annotations

import os
import webbrowser
from pathlib import Path
from typing import Any

from ebbtide.flows.cli.output import print_json, say
from ebbtide.flows.cli.runs.pages.private import has_browser, leads_to
from ebbtide.flows.prefect_server import api, server
from ebbtide.flows.prefect_server.server import ServerInfo
from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.models.records import Run
from ebbtide.infra.settings import load_settings


def open_prefect(run: Run | None, *, look_only: bool, as_json: bool) -> int:
    """Open the UI of the Prefect server in use, or say where it is and what it asks for.

    Args:
        run: whose flow run is opened there; None: the dashboard.
        look_only: open nothing.
        as_json: print the same keys as for a run's dashboard, on stdout.

    Returns:
        The exit code of the command.

    Raises:
        ConfigurationError: NO_DASHBOARD, no server of ours runs, or this run is not in Prefect.
    """
    info = server.running(load_settings().home)
    named = api.named(os.environ)
    if run is not None and run.flow_run_id is None:
        raise ConfigurationError([_not_there(run)])
    if run is not None and named is not None and not run.prefect_url:
        info = None  # it is there
    elif info is None:
        raise ConfigurationError([_no_server(run)])
    id_ = (run.flow_run_id or "") if run is not None else ""
    path = f"/runs/flow-run/{id_}" if id_ else ""
    browses = not look_only and has_browser()
    if info is None:  # one that is not ours, and asks who comes by itself
        assert named is not None
        url, secret = f"{_ui_of(named.url)}{path}", None
        opened = browses and webbrowser.open(url)
    else:
        url, secret = f"{info.ui_url}{path}", api.auth_file(Path(info.home))
        opened = browses and _open_signed_in(info, secret, id_)
    _tell(run, url, secret, opened=opened, as_json=as_json)
    return ExitCode.OK


def _open_signed_in(info: ServerInfo, secret: Path, flow_run_id: str) -> bool:
    page = leads_to(info.open_url(flow_run_id), secret.with_name("open.html"))
    return webbrowser.open(page.as_uri())


def _tell(run: Run | None, url: str, secret: Path | None, *, opened: bool, as_json: bool) -> None:
    if as_json:
        facts: dict[str, Any] = {"run": None if run is None else run.name, "url": url, "user": None}
        file = None if secret is None else str(secret)
        print_json({**facts, "password_file": file, "opened": opened, "files": []})
    elif opened:
        say(f"  {url} is opening in your browser")
    else:
        print(f"  Prefect   {url}")
        if secret is not None:
            print(f"  Password  in {secret}")


def _ui_of(url: str) -> str:
    return url.rstrip("/").removesuffix("/api")


def _not_there(run: Run) -> Problem:
    hint = f"ebb why {run.name}; without a Prefect server (EBB_PREFECT_SERVER=off) nothing is there"
    return Problem(Reason.NO_DASHBOARD, f"{run.name} has no flow run in Prefect", hint)


def _no_server(run: Run | None) -> Problem:
    named = api.named(os.environ)
    if named is not None and run is None:
        summary = f"PREFECT_API_URL names a server that is not ebb's: {_ui_of(named.url)}"
        return Problem(Reason.NO_DASHBOARD, summary, "open it in your browser")
    summary = "no Prefect server of this installation runs"
    if run is not None:
        hint = f"ebb up starts it with all that it has kept; then ebb open {run.name} --prefect"
        return Problem(Reason.NO_DASHBOARD, summary, hint)
    hint = "ebb up, or ebb run; ebb open RUN is for a run's dashboard"
    return Problem(Reason.NO_DASHBOARD, summary, hint)
