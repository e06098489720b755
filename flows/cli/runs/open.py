"""``ebb open``: a dashboard in the browser, without typing its secret; or what it has left."""

from __future__ import annotations

import contextlib
from typing import Any

from ebbtide.flows.cli.output import known_run, say
from ebbtide.flows.cli.parsing.command import command, option
from ebbtide.flows.cli.parsing.shared import KUBERNETES, run_argument
from ebbtide.flows.cli.runs.pages.kept import kept_artifacts, open_kept
from ebbtide.flows.cli.runs.pages.prefect_ui import open_prefect
from ebbtide.flows.cli.runs.pages.private import bring_in
from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.lifecycle.inventory import last_view
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.models.records import Run
from ebbtide.infra.platforms.base import Platform, load_platform
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.settings import load_settings

_DESCRIPTION = """Opens the dashboard of a run's cluster in your browser, already signed in; with
--prefect its page in Prefect's UI, without a run that UI itself. After release it opens what the
run has kept: Dask's report as a page, Spark's event log in Spark's own history server, which lives
until Ctrl-C; other files are listed. Without a browser, or with --print: the URL, the user, and
which file holds the password. JSON: an object with the keys run, url, user, password_file, opened,
files (what is listed)."""

_WATCH_S = 60.0


@command("open", _DESCRIPTION, place=KUBERNETES)
@run_argument(required=False, help="its name; without it Prefect's UI is opened")
@option("--prefect", is_flag=True, help="open the run in Prefect's UI")
@option("--print", is_flag=True, help="say where it is; open nothing")
def main(options: Any) -> int:
    """Open a run's dashboard or what it has kept, or Prefect's UI."""
    how = {"look_only": options.print, "as_json": options.json}
    if options.run is None:
        return open_prefect(None, **how)
    settings = load_settings()
    store = open_store(settings)
    run = known_run(store, options.run)
    if options.prefect:
        return open_prefect(run, **how)
    view = last_view(store, run.name)
    platform = load_platform(run.spec.platform, settings)
    with platform.page(view) as url:
        login = platform.login(view.cluster) if url else None
        if login is not None:
            bring_in(run.name, url, login, **how)
            if url != view.dashboard:
                _hold(platform, view)
            return ExitCode.OK
    _check_it_is_gone(run, view)
    if not kept_artifacts(run, platform):
        summary = f"the cluster of {run.name} is gone, and it has kept nothing to open"
        hint = f"what is kept: ebb logs {run.name} --list, ebb cost {run.name}"
        raise ConfigurationError([Problem(Reason.NO_DASHBOARD, summary, hint)])
    return open_kept(run, platform, settings, **how)


def _hold(platform: Platform, view: ClusterView) -> None:
    """Keep the way to a page open until Ctrl-C, or until its cluster is gone."""
    say("  the way to it stays open until Ctrl-C")
    seen: ClusterView | None = view
    with contextlib.suppress(KeyboardInterrupt):
        while seen is not None and seen.released_at is None:
            seen = platform.watch(view.cluster, seen, _WATCH_S)


def _check_it_is_gone(run: Run, view: ClusterView) -> None:
    """Raise NO_DASHBOARD for a run that never has a dashboard, or has none yet."""
    if not run.spec.cluster.has_workers:
        summary, hint = f"{run.name} has no cluster, and so no dashboard", f"ebb logs -f {run.name}"
    elif not run.over and not view.dashboard:
        summary = f"{run.name} has no head yet"
        hint = f"ebb why {run.name} says what it waits for"
    else:
        return
    raise ConfigurationError([Problem(Reason.NO_DASHBOARD, summary, hint)])
