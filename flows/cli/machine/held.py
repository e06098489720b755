"""``ebb held``: is anything left running? Looks at the machine, not at what should be there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from ebbtide.flows.cli.output import print_json, print_table, say
from ebbtide.flows.cli.parsing.command import command, option
from ebbtide.flows.cli.parsing.shared import KUBERNETES
from ebbtide.flows.cli.preparing import Preparation
from ebbtide.flows.prefect_server import server
from ebbtide.flows.service import stack
from ebbtide.infra.files.place import place_file, remembered_place
from ebbtide.infra.lifecycle import reaper
from ebbtide.infra.lifecycle.inventory import lease_of
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.phases import ExitCode
from ebbtide.infra.models.resources import format_duration
from ebbtide.infra.platforms.base import HeldResource, Platform, load_platforms
from ebbtide.infra.processes.identity import lives
from ebbtide.infra.records.opening import open_to_look
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings, load_settings
from ebbtide.infra.waiting import wait_until, wall_s

_DESCRIPTION = """Lists all of Ebb that is alive on this machine, and until when. It looks at the
machine, not at records. Exit 1 when something has no living owner: an orphan, or what stays on a
node that does not answer; 70 when a Kubernetes could not be asked. What waits for a finalizer says
how to end it. A flow process may outlive its run for as long as it takes to tell Prefect. JSON: an
object with the keys held (a list of cluster, role, name, where, age_s, until, orphan), flows (of
run, pid, age_s, until), prefect_server, stack (of ebb up), orphans, not_shown (why a Kubernetes is
not; else empty)."""

_WATCH_S = 180.0
"""A lease that lasts longer is left to whoever watches for longer."""
_DRIVEN = "until its run has ended"
_RECORDED = "its run has ended; until Prefect's record of it is finished"
_STACK = ("pid", "pool", "folder", "restarts")


@command("held", _DESCRIPTION, Preparation(ledger=False), place=KUBERNETES)
@option("--release", is_flag=True, help="end what has no living owner")
def main(options: Any) -> int:
    """Show what is held."""
    settings = load_settings()
    store = open_to_look(settings)
    store.runs(open_only=True)  # a platform that does not answer is known then, and hides no other
    platforms, unseen = load_platforms(settings, store), store.unreachable
    if options.release:
        released = [*reaper.reap(settings).clusters, *_watched_to_their_end(platforms)]
        say(f"released: {', '.join(released) or 'nothing'}")
    orphans = {cluster for platform in platforms for cluster in platform.orphans()}
    orphans |= {cluster for platform in platforms for cluster in platform.neglected()}
    held = [resource for platform in platforms for resource in platform.held()]
    facts = [_fact(store, resource, orphans) for resource in held]
    if store.stale:
        say(f"! {store.stale}")
    if unseen:
        _say_what_is_unseen(settings, unseen)
    flows = _flows(store)
    if options.json:
        print_json(_document(settings, facts, flows, orphans) | {"not_shown": unseen})
    else:
        _show(settings, facts, flows, " on this machine" if unseen else "")
    if orphans or any(resource.stays for resource in held):
        return 1
    return ExitCode.INFRASTRUCTURE if unseen else ExitCode.OK


def _say_what_is_unseen(settings: Settings, why: str) -> None:
    say(f"! {why}")
    say("      what is held there is not known")
    if remembered_place(settings) is not None:
        say(f"      fix   where that Kubernetes is gone for good: rm {place_file(settings)}")


def _watched_to_their_end(platforms: Sequence[Platform]) -> Iterator[str]:
    """Release what nobody renews while we watch it for as long as its lease lasts."""
    for platform in platforms:
        for cluster in platform.neglected():
            say(f"{cluster} seems to have no living owner; watching whether anybody renews it")
            if wait_until(partial(platform.reap, cluster), timeout_s=_WATCH_S, longest_s=1.0):
                yield cluster


def _fact(store: RunStore, held: HeldResource, orphans: set[ClusterId]) -> dict[str, Any]:
    orphan = held.cluster in orphans
    return {
        "cluster": held.cluster,
        "role": held.role,
        "name": held.name,
        "where": held.where,
        "age_s": round(held.age_s, 1),
        "until": held.until
        or ("orphan: ebb held --release" if orphan else _until(store, held.cluster)),
        "orphan": orphan,
    }


def _until(store: RunStore, cluster: ClusterId) -> str:
    """Say who renews the lease of a cluster, or how long it lasts unless somebody does."""
    lease = lease_of(store, cluster)
    return lease.sentence if lease else "not in the ledger"


def _flows(store: RunStore) -> list[dict[str, Any]]:
    driven = [run for run in store.runs(open_only=True) if lives(run.flow_process)]
    return [
        {
            "run": run.name,
            "pid": run.flow_process.pid,
            "age_s": round(wall_s() - run.created, 1),
            "until": _RECORDED if run.over else _DRIVEN,
        }
        for run in (*driven, *reaper.being_recorded(store))
        if run.flow_process is not None
    ]


def _document(
    settings: Settings, facts: list[dict[str, Any]], flows: list[Any], orphans: set[ClusterId]
) -> dict[str, Any]:
    info = server.running(settings.home)
    prefect = None if info is None else {"url": info.ui_url, "pid": info.pid, "idle_s": info.idle_s}
    up = stack.running(settings)
    return {
        "held": facts,
        "flows": flows,
        "prefect_server": prefect,
        "stack": None if up is None else {key: getattr(up, key) for key in _STACK},
        "orphans": sorted(orphans),
    }


def _show(
    settings: Settings, facts: list[dict[str, Any]], flows: list[dict[str, Any]], where: str
) -> None:
    rows = [
        (f["cluster"], f["role"], f["name"], f["where"], format_duration(f["age_s"]), f["until"])
        for f in facts
    ]
    for flow in flows:
        age = format_duration(flow["age_s"])
        rows.append((flow["run"], "flow", "", f"pid {flow['pid']}", age, flow["until"]))
    up = stack.running(settings)
    if up is not None:
        until = f"until ebb down; {up.trouble}" if up.trouble else "until ebb down"
        rows.append(("", "ebb up", f"pool {up.pool}", f"pid {up.pid}", "", until))
    info = server.running(settings.home)
    if info is not None:
        idle = format_duration(info.idle_s)
        until = "until ebb down" if up else f"ends itself after {idle} without a run"
        rows.append(("", "prefect server", info.ui_url, f"pid {info.pid}", "", until))
    if rows:
        print_table(("CLUSTER", "WHAT", "NAME", "WHERE", "AGE", "UNTIL"), rows)
    print(f"Held now: {_counted(facts)}{where}")


def _counted(facts: list[dict[str, Any]]) -> str:
    """Count processes and folders, and say how many of them are workers and heads."""
    if not facts:
        return "nothing"
    roles = Counter(fact["role"] for fact in facts)
    members = f"{roles['worker']} workers, {roles['head']} heads"
    return f"{len(facts)} processes and folders ({members})"
