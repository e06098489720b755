"""What the service does with Prefect: ``python -m ebbtide.flows.service.loops VERB ... POOL``.

Verbs: deploy, reap, end-runs.

A process of its own each time, because Prefect reads its settings when it is imported.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from pathlib import Path

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelled, Cancelling

from ebbtide.flows.events import outbox
from ebbtide.flows.infrastructure import refresh
from ebbtide.flows.prefect_server import server
from ebbtide.flows.prefect_state.reconcile import Worker, process_lives, reconcile
from ebbtide.flows.service import stack, work_pool
from ebbtide.flows.service.deploying import deploy_file
from ebbtide.infra.installation import rounds
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.settings import Settings, load_settings
from ebbtide.infra.waiting import wait_until

_FILE = "deployments.yaml"
_POLITE_S = 10.0
_END_TIMEOUT_S = 35.0
_LIVING = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]


def deploy(folder: Path, pool: str) -> int:
    """Make the work pool, and deploy our deployments.yaml and the folder's own when it has one."""
    settings = load_settings()
    with get_client(sync_client=True) as client:
        work_pool.make(client, settings, pool)
    ours = _ours().resolve()
    names: list[str] = []
    for file in dict.fromkeys([ours, (folder / _FILE).resolve()]):
        if file.exists():
            names += deploy_file(settings, file, folder, pool, ours=file == ours)
    api = outbox.server_api(settings)
    for event in outbox.flush(api) if api else ():
        print(f"sent event {event}, which had waited for a server", file=sys.stderr)
    print(", ".join(dict.fromkeys(names)))
    return 0


def reap(pool: str) -> int:
    """Again and again until told to stop, so that deployments need not (``unscheduled``).

    The page of the infrastructure is refreshed as well, when the ledger has changed.
    """
    settings, over = load_settings(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    store, shown = open_store(settings), -1
    while not over.wait(rounds.EVERY_S):
        try:
            for line in reconcile(settings, worker=_worker(settings, pool)).lines:
                print(line, flush=True)
            version = store.version()
            if version != shown:
                with get_client(sync_client=True) as client:
                    refresh(client, settings)
                shown = version
        except Exception as error:  # a server away, a full disk: told, and tried again
            rounds.note(settings, f"{error!r}"[:200])
            print(f"reaper: {error!r}"[:500], flush=True)
    return 0


def _worker(settings: Settings, pool: str) -> Worker | None:
    """Return our Prefect worker; None with a server that others use too."""
    info = stack.last(settings)
    if server.running(settings.home) is None:
        return None
    with contextlib.suppress(psutil.Error):
        if info is not None and info.worker_pid:
            return Worker(pool, psutil.Process(info.worker_pid).create_time())
    return None


def end_runs(pool: str) -> int:
    """Pause the pool, cancel the flow runs that are going on, and wait until they have ended."""
    with get_client(sync_client=True) as client:
        work_pool.pause(client, load_settings(), pool)
        runs = _living(client, pool)
        for run in runs:
            if run.state_type is not StateType.CANCELLING:  # somebody was quicker
                client.set_flow_run_state(run.id, Cancelling(message="ebb down"))
        wait_until(lambda: not _living(client, pool), timeout_s=_POLITE_S, longest_s=1.0)
        for run in _living(client, pool):
            if not process_lives(run):  # it was about to start, and now nobody will
                client.set_flow_run_state(run.id, Cancelled(message="ebb down"), force=True)
        wait_until(lambda: not _living(client, pool), timeout_s=_END_TIMEOUT_S, longest_s=1.0)
    print(f"{len(runs)} runs cancelled")
    return 0


def _ours() -> Path:
    """Return our own deployments.yaml: a file of the wheel, a link in a checkout."""
    return Path(__file__).parents[2] / _FILE


def _living(client: SyncPrefectClient, pool: str) -> list[FlowRun]:
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=_LIVING))
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=state),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
    )


def main(argv: list[str]) -> int:
    """Run the loop or action that the first argument names."""
    verb, *rest = argv
    if verb == "deploy":
        return deploy(Path(rest[0]), rest[1])
    return {"reap": reap, "end-runs": end_runs}[verb](rest[0])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
