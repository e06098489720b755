"""From rows of the tables to records."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.phases import Phase, Reason, Step
from ebbtide.infra.models.records import (
    Cluster,
    Entry,
    Event,
    EventKind,
    LeaseState,
    PoolUse,
    ProcessRef,
    Registration,
    Run,
    RunLimits,
    Share,
)
from ebbtide.infra.models.resources import Resources

CLAIMED = -1
"""Stands for the process id of a supervisor that is being started."""
_KINDS = {kind.value: kind for kind in EventKind}


def run_of(row: sqlite3.Row) -> Run:
    """Make a run of its row."""
    return Run(
        name=row["name"],
        spec_json=row["spec"],
        phase=Phase(row["phase"]),
        created=row["created"],
        reason=_reason(row["reason"]),
        detail=row["detail"] or "",
        exit_code=row["exit_code"],
        ended=row["ended"],
        attempt=row["attempt"],
        flow_process=_process(row["flow_pid"], row["flow_started"]),
        flow_run_id=row["flow_run_id"],
        stop_reason=_reason(row["stop_reason"]),
        prefect_url=row["prefect_url"],
        key=row["job_key"],
        owner=row["owner"],
        tags=tuple(json.loads(row["tags"])),
    )


def cluster_of(row: sqlite3.Row) -> Cluster:
    """Make a cluster of its row."""
    pid = row["supervisor_pid"]
    return Cluster(
        id=row["id"],
        run=row["run"],
        attempt=row["attempt"],
        pool=row["pool"],
        state=LeaseState(row["state"]),
        renewals=row["beat"],
        beat_at=row["beat_at"],
        lease_s=row["lease_s"],
        created=row["created"],
        limits=RunLimits(
            tier=row["tier"], max_tier_runs=row["tier_most"], max_owner_runs=row["owner_most"]
        ),
        orders_json=row["orders"],
        view_json=row["view"],
        claimed=pid is not None,
        supervisor=None if pid == CLAIMED else _process(pid, row["supervisor_started"]),
        released_at=row["released_at"],
        released_by=row["released_by"] or "",
        release_reason=_reason(row["release_reason"]),
    )


def event_of(row: sqlite3.Row) -> Event:
    """Make an event of its row; one of a kind that this version does not know is a note."""
    return Event(
        id=row["id"],
        run=row["run"],
        cluster=row["cluster"],
        at=row["at"],
        kind=_KINDS.get(row["kind"], EventKind.NOTE),
        step=Step(row["step"]) if row["step"] else None,
        reason=_reason(row["reason"]),
        message=row["message"],
        data=json.loads(row["data"]),
    )


def share_of(row: sqlite3.Row) -> Share:
    """Make a share of its row, which has its run."""
    return Share(
        run=row["run"],
        cluster=row["cluster"],
        owner=row["owner"],
        pool=row["pool"],
        amount=Resources(row["cpu_millis"], row["memory_bytes"], row["gpus"]),
        devices=devices_of(row),
    )


def row_of_share(
    cluster: ClusterId, owner: str, pool: str, amount: Resources, devices: Iterable[str]
) -> tuple[str | int, ...]:
    """Make a row of the table of shares, its columns in the table's order.

    Args:
        cluster: who holds the share.
        owner: what of it: ``head``, ``worker-0``, ….
        pool: of which pool.
        amount: how much.
        devices: its GPUs, by their UUIDs.

    Returns:
        A value for each column.
    """
    sizes = (amount.cpu_millis, amount.memory_bytes, amount.gpus)
    return (cluster, owner, pool, *sizes, json.dumps([*devices]))


def devices_of(row: sqlite3.Row) -> tuple[str, ...]:
    """Return the GPUs of a share, by their UUIDs, from its row."""
    return tuple(json.loads(row["devices"]))


def pool_use_of(
    line: list[sqlite3.Row], used: sqlite3.Row, with_devices: list[sqlite3.Row]
) -> PoolUse:
    """Make a pool of its rows.

    Args:
        line: its living clusters in order.
        used: the sums of what they hold.
        with_devices: shares of whichever pool that have GPUs.

    Returns:
        The pool as it is used now.
    """
    waiting: list[Entry] = []
    holding: list[Entry] = []
    for row in line:
        entry = Entry(
            cluster=row["id"],
            run=row["run"],
            tier=row["tier"],
            owner=row["owner"] or "",
            max_tier_runs=row["tier_most"],
            max_owner_runs=row["owner_most"],
        )
        (waiting if row["state"] == LeaseState.QUEUED else holding).append(entry)
    return PoolUse(
        waiting=tuple(waiting),
        holding=tuple(holding),
        used=Resources(*used),
        devices=tuple(device for row in with_devices for device in devices_of(row)),
    )


def registration_of(row: sqlite3.Row) -> Registration:
    """Make a registration of its row."""
    process = ProcessRef(row["pid"], row["started"])
    return Registration(
        flow_run_id=row["id"], name=row["name"], process=process, registered_at=row["signed_in"]
    )


def _reason(text: str | None) -> Reason | None:
    return Reason(text) if text else None


def _process(pid: int | None, started: float | None) -> ProcessRef | None:
    return None if pid is None else ProcessRef(pid, started)
