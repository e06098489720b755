"""``ebb ps``: runs, their phase, and why they wait."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ebbtide.flows.cli.output import print_json, print_table, say, wait_for_change
from ebbtide.flows.cli.parsing.command import command, option
from ebbtide.flows.cli.parsing.shared import KUBERNETES, watch_option
from ebbtide.flows.cli.screen import program_text
from ebbtide.infra.frameworks.base import WITHOUT_CLUSTER
from ebbtide.infra.lifecycle.inventory import last_view
from ebbtide.infra.lifecycle.reaper import unowned
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.codec import to_data
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.models.records import Run
from ebbtide.infra.models.resources import format_duration
from ebbtide.infra.records.opening import open_to_look
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import load_settings
from ebbtide.infra.waiting import wall_s

_DESCRIPTION = """Lists the runs that have not ended; with -a, all runs. JSON: a list of objects
with the keys run, phase, reason, why, program, framework, tier, next_tiers, passed_over (of each
tier, reason, why), workers_joined, workers_wanted, min_workers, max_workers, created (Unix time),
age_s, exit_code, dashboard, prefect."""


@command("ps", _DESCRIPTION, place=KUBERNETES)
@option("-a", "--all", is_flag=True, help="list ended runs too")
@watch_option
def main(options: Any) -> int:
    """List runs."""
    settings = load_settings()
    store = open_to_look(settings)
    while True:
        facts = [_facts(store, run) for run in store.runs(open_only=not options.all)]
        if store.stale:
            say(f"! {store.stale}; ebb held shows what is alive")
        if store.unreachable:
            say(f"! {store.unreachable}")
        if names := unowned(settings, store):
            say(f"! no living owner: {', '.join(names)}; ebb held --release ends them")
        if options.json:
            print_json(facts)
        else:
            _show(facts, everything=options.all)
        if not options.watch:
            return ExitCode.OK
        wait_for_change(store)


def _facts(store: RunStore, run: Run) -> dict[str, Any]:
    spec = run.spec
    view = last_view(store, run.name)
    queue = view.queue
    waits = f"position {queue.position} in pool {queue.pool}" if queue else ""
    if queue and queue.limit:
        waits = f"{queue.limit}; {waits}"
    if not waits and view.waiting is not None:
        waits = view.waiting.message
    return {
        "run": run.name,
        "phase": run.phase.value,
        "reason": _reason(run, view),
        "why": run.detail or waits or ("" if run.over else view.cannot_run),
        "program": program_text(spec),
        "framework": spec.cluster.framework,
        "tier": spec.cluster.tier.name,
        "next_tiers": [each.tier.name for each in spec.next_tiers],
        "passed_over": to_data(spec.passed_over),
        "workers_joined": view.workers_joined,
        "workers_wanted": view.workers_wanted,
        "min_workers": spec.cluster.policy.min_workers,
        "max_workers": spec.cluster.policy.max_workers,
        "created": run.created,
        "age_s": round((run.ended or wall_s()) - run.created, 1),
        "exit_code": run.exit_code,
        "dashboard": view.dashboard or None,
        "prefect": run.prefect_url,
    }


def _reason(run: Run, view: ClusterView) -> str | None:
    """Why it ended; of one that goes on, why it waits."""
    if run.over or run.reason:
        return run.reason.value if run.reason else None
    if view.queue:
        return view.queue.reason.value
    if view.waiting is not None and view.waiting.reason is not None:
        return view.waiting.reason.value
    return Reason.CANNOT_RUN.value if view.cannot_run else None


def _show(facts: list[dict[str, Any]], *, everything: bool) -> None:
    if not facts:
        say("no runs" if everything else "no run is going on; ebb ps -a lists ended runs too")
        return
    rows = [
        (
            fact["run"],
            fact["phase"],
            fact["reason"] or "",
            fact["program"],
            fact["framework"],
            fact["tier"],
            _workers(fact),
            f"{datetime.fromtimestamp(fact['created']).astimezone():%m-%d %H:%M:%S}",
            format_duration(fact["age_s"]),
            fact["why"],
        )
        for fact in facts
    ]
    place = ("FRAMEWORK", "TIER", "WORKERS", "STARTED", "TIME")
    print_table(("RUN", "PHASE", "REASON", "PROGRAM", *place, "WHY"), rows)


def _workers(fact: dict[str, Any]) -> str:
    """Joined now, and the bounds; empty where there are none."""
    if fact["framework"] == WITHOUT_CLUSTER:
        return ""
    return f"{fact['workers_joined']} ({fact['min_workers']}–{fact['max_workers']})"
