"""In the program: how many of its tasks have not ended when it ends by itself."""

from __future__ import annotations

import os
from typing import Any

from ebbtide.infra.frameworks.bootstrap import note_at_exit

_ANSWER_TIMEOUT_S = 2
_STATES = ("waiting", "no-worker", "queued", "processing")


def watch() -> None:
    """Count them when the program ends."""
    printed = "what they have printed is in ebb logs RUN --from worker-0"
    note_at_exit(unfinished, f"client.gather(futures); {printed}")


def unfinished() -> int:
    """Tasks of the run's cluster that have not ended; 0 when no client is connected to it.

    The scheduler knows them all, also those that ``fire_and_forget`` was said of, but perhaps not
    yet what was asked for last: that the client knows. The scheduler forgets what is a client's as
    soon as that has gone, so that this is asked before.
    """
    from distributed.client import Client

    mine = [
        client
        for client in tuple(Client._instances)
        if client.status == "running" and not client.asynchronous and _is_the_runs(client)
    ]
    if not mine:
        return 0
    known = mine[0].sync(
        mine[0]._run_on_scheduler,
        count_unfinished,
        [client.id for client in mine],
        callback_timeout=_ANSWER_TIMEOUT_S,
    )
    futures = {key: each for client in mine for key, each in client.futures.items()}
    return max(int(known), sum(each.status == "pending" for each in futures.values()))


def count_unfinished(clients: list[str], dask_scheduler: Any) -> int:
    """In the scheduler: count what these clients, or nobody in particular, still wait for."""
    askers = (dask_scheduler.clients.get(name) for name in (*clients, "fire-and-forget"))
    wanted = {task for asker in askers if asker is not None for task in asker.wants_what}
    return sum(task.state in _STATES for task in wanted)


def _is_the_runs(client: Any) -> bool:
    address = client.scheduler.address if client.scheduler is not None else ""
    return bool(address) and address == os.environ.get("DASK_SCHEDULER_ADDRESS")
