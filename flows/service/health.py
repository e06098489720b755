"""Whether this installation is well: each part looked at, with what to do. Imports no Prefect."""

from __future__ import annotations

import datetime as dt
import os
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ebbtide.flows.prefect_server import api as api_of
from ebbtide.flows.prefect_server import server
from ebbtide.flows.prefect_server.api import Api
from ebbtide.flows.service import stack
from ebbtide.flows.service.prefect_http import ask, work_pool, worker_of
from ebbtide.flows.service.stack import StackInfo
from ebbtide.infra.installation import rounds
from ebbtide.infra.installation.footprint import Footprint
from ebbtide.infra.models.resources import format_duration, format_memory
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s

State = Literal["ok", "warning", "bad", "down"]
_LITTLE_SPACE_BYTES = 200 * 2**20
_MUCH_SPACE_BYTES = 2**30
_FEW_DAYS = 14.0
_REAPER_LATE_S = 120.0
_RECENTLY_S = 3600.0
_LATE_S = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """The state of one part, and what to do about it."""

    check: str
    state: State
    """``down`` for a stack that nobody has started."""
    detail: str
    fix: str = ""


def look(settings: Settings) -> list[Check]:
    """Check all that ``ebb up`` keeps alive; only the server where ``ebb up`` is not running."""
    info = stack.running(settings)
    found = [_stack(settings, info)]
    api = _api(settings, info)
    if api is None:
        return found
    answers = _server(api)
    found.append(answers)
    if info is None:
        return found
    if answers.state == "ok":
        checks: tuple[Callable[[Api, StackInfo], Check], ...] = (_worker, _pool, _schedules)
        found += [_tried(check, api, info) for check in checks]
    return [*found, _reaper(settings, info)]


def space(taken: Footprint, keeps: str) -> list[Check]:
    """Check the disk, what this installation takes of it, and how fast that grows.

    Args:
        taken: what it takes now.
        keeps: the value of ``keep`` in ebb.yaml; empty when it is not set.

    Returns:
        Three checks: disk, home, growth.
    """
    free = f"{format_memory(taken.free)} free"
    fix = "free some disk space: ebb prune --older-than 30d"
    if taken.free < _LITTLE_SPACE_BYTES:
        disk = Check("disk", "bad", free, fix)
    elif taken.free < _MUCH_SPACE_BYTES:
        disk = Check("disk", "warning", free, fix)
    else:
        disk = Check("disk", "ok", free)
    parts = f"runs {format_memory(taken.runs)}, prefect.db {format_memory(taken.prefect_db)}"
    home = Check("home", "ok", f"{format_memory(taken.home)}: {parts}")
    return [disk, home, _growth(taken, keeps)]


def _growth(taken: Footprint, keeps: str) -> Check:
    if not taken.run_count:
        return Check("growth", "ok", "no run yet")
    detail = f"{format_memory(taken.bytes_per_run)} a run, {taken.runs_per_day:.3g} runs a day"
    kept = f"keep: {keeps}" if keeps else "runs are kept for ever"
    if not keeps and taken.days_left is not None and taken.days_left < _FEW_DAYS:
        full = f"the disk is full in {taken.days_left:.0f} days"
        return Check(
            "growth", "warning", f"{detail}; {full}", "keep: 30d in ebb.yaml, or ebb prune"
        )
    return Check("growth", "ok", f"{detail}; {kept}")


def _stack(settings: Settings, info: StackInfo | None) -> Check:
    if info is None:
        before = stack.last(settings)
        if before is not None and before.failed:
            fix = f"see {stack.log_of(settings)}, then ebb up"
            return Check("stack", "bad", f"it gave up: {before.failed}", fix)
        detail = "not up: no schedule starts a run, and lost runs are not released by themselves"
        return Check("stack", "down", detail, "ebb up")
    if not info.ready:
        return Check(
            "stack", "warning", f"it is starting: {', '.join(info.done) or 'just begun'}", "wait"
        )
    if any(wall_s() - restart["at"] < _RECENTLY_S for restart in info.restarts.values()):
        return Check("stack", "warning", info.trouble, f"see {stack.log_of(settings)}")
    return Check("stack", "ok", f"up from {info.folder}, pid {info.pid}")


def _api(settings: Settings, info: StackInfo | None) -> Api | None:
    """Return the server that is in use; None when there is none."""
    ours, named = server.running(settings.home), api_of.named(os.environ)
    own = ours.api if ours is not None else None
    if info is None:
        return named or own
    if not info.ui_url:
        return None
    url = f"{info.ui_url}/api"
    known = (api for api in (own, named) if api is not None and api.url.rstrip("/") == url)
    return next(known, Api(url))


def _server(api: Api) -> Check:
    began = wall_s()
    try:
        api.call("work_pools/count", {}, timeout_s=5.0)
    except urllib.error.HTTPError as error:
        detail = f"{api.url} answers {error.code}"
        fix = "set PREFECT_API_AUTH_STRING or PREFECT_API_KEY" if error.code in (401, 403) else ""
        return Check("server", "bad", detail, fix or "see prefect/server.log in EBB_HOME")
    except (OSError, ValueError) as error:
        detail = f"{api.url}: {getattr(error, 'reason', error)}"
        return Check("server", "bad", detail, "ebb down, then ebb up; see prefect/server.log")
    return Check("server", "ok", f"{api.url} answers in {1000 * (wall_s() - began):.0f} ms")


def _tried(check: Callable[[Api, StackInfo], Check], api: Api, info: StackInfo) -> Check:
    try:
        return check(api, info)
    except (OSError, ValueError, KeyError, TypeError) as error:
        detail = f"the server does not say: {error}"
        return Check(check.__name__.strip("_"), "warning", detail, "see prefect/server.log")


def _worker(api: Api, info: StackInfo) -> Check:
    name = stack.worker_name()
    found = worker_of(api, info.pool, name)
    fix = "see stack/stack.log in EBB_HOME; ebb down, then ebb up"
    if found is None:
        return Check("worker", "bad", f"Prefect has never seen {name}", fix)
    seen = f"{name} was last seen {_ago(found['last_heartbeat_time'])} ago"
    if found["status"] != "ONLINE":
        return Check("worker", "bad", f"{seen}, and is {found['status'].lower()}", fix)
    return Check("worker", "ok", f"{name} is online, {info.limit} runs at once")


def _pool(api: Api, info: StackInfo) -> Check:
    found = work_pool(api, info.pool)
    if found["is_paused"]:
        fix = f"resume it in Prefect: prefect work-pool resume {info.pool}"
        return Check("pool", "warning", f"{info.pool} is paused: nothing starts", fix)
    limit = found.get("concurrency_limit")
    return Check("pool", "ok", info.pool + (f", at most {limit} runs" if limit is not None else ""))


def _schedules(api: Api, info: StackInfo) -> Check:
    del info
    deployments = ask(api, "deployments/filter", {"limit": 200})
    paused = [
        deployment["name"]
        for deployment in deployments
        if deployment["schedules"]
        and (deployment["paused"] or not any(s["active"] for s in deployment["schedules"]))
    ]
    names = {deployment["id"]: deployment["name"] for deployment in deployments}
    runs = _scheduled(api)
    late = [run for run in runs if _age_s(run["expected_start_time"]) > _LATE_S]
    next_ = next((run for run in runs if _age_s(run["expected_start_time"]) < 0), None)
    facts = []
    if next_:
        at = dt.datetime.fromisoformat(next_["expected_start_time"]).astimezone()
        facts.append(f"next {names.get(next_['deployment_id'], next_['name'])} at {at:%d %b %H:%M}")
    if paused:
        facts.append(f"paused: {', '.join(sorted(paused))}")
    if late:
        fix = "is the worker busy or the pool paused? ebb ps; ebb up --limit N"
        return Check("schedules", "warning", "; ".join([f"{len(late)} runs late", *facts]), fix)
    return Check("schedules", "ok", "; ".join(facts) or "none")


def _scheduled(api: Api) -> list[Any]:
    query = {
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        "sort": "NEXT_SCHEDULED_START_TIME_ASC",
        "limit": 200,
    }
    found: list[Any] = ask(api, "flow_runs/filter", query)
    return [run for run in found if run.get("expected_start_time")]


def _reaper(settings: Settings, info: StackInfo) -> Check:
    last = rounds.last(settings)
    fix = f"see {stack.log_of(settings)}"
    if info.age_s < _REAPER_LATE_S and (last is None or wall_s() - last.at > info.age_s):
        return Check("reaper", "ok", "its first round is to come")
    if last is None:
        return Check("reaper", "bad", "it has not made a round yet", fix)
    detail = f"last round {format_duration(max(0.0, wall_s() - last.at))} ago"
    if wall_s() - last.at > _REAPER_LATE_S:
        return Check("reaper", "bad", detail, fix)
    if last.error:
        return Check("reaper", "warning", f"{detail}: {last.error}", fix)
    return Check("reaper", "ok", detail)


def _age_s(at: str) -> float:
    moment = dt.datetime.fromisoformat(at)
    return (dt.datetime.now(dt.UTC) - moment).total_seconds()


def _ago(at: str) -> str:
    return format_duration(max(0.0, _age_s(at)))
