"""deployments.yaml as it is deployed again: what an operator has changed since then is kept.

Three sides: what the file says now, what it said when it was deployed last, what Prefect has now.
A field that the file says anew is the file's; one that somebody has changed in Prefect is theirs;
what is paused or disabled in Prefect stays so until somebody resumes it there. Pure, no Prefect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

FIELDS = (
    "description", "tags", "parameters", "work_pool", "concurrency_limit",
    "enforce_parameter_schema",
)  # fmt: skip
"""What can be edited in Prefect's UI, beside schedules, pauses and triggers."""
_BY_SERVICE = "ebb-house"
_OURS = ("description",)
"""Those whose value in Prefect is the code's own when the file says none."""


@dataclass(frozen=True, slots=True)
class Known:
    """A deployment as it was deployed last."""

    said: Mapping[str, Any]
    """By the file."""
    stood: Mapping[str, Any]
    """In Prefect, right after that: the values of ``FIELDS``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A deployment as Prefect has it now."""

    fields: Mapping[str, Any]
    paused: bool
    schedules: tuple[Schedule, ...] = ()
    enabled: Mapping[str, bool] = field(default_factory=dict)
    """Whether each of its automations is, by name."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule as Prefect has it now."""

    id: str
    key: str
    active: bool


@dataclass(slots=True)
class Changes:
    """What to change in Prefect about the schedules of a deployment."""

    patch: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Id, and what the file says."""
    create: list[tuple[dict[str, Any], bool]] = field(default_factory=list)
    """What the file says, and whether it is active."""
    delete: list[str] = field(default_factory=list)
    """Ids."""


def schedules_of(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the schedules of one deployment in the file."""
    single = [said["schedule"]] if said.get("schedule") else []
    return [dict(schedule) for schedule in said.get("schedules") or single]


def unscheduled(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return one of our deployments as ``ebb up`` makes it.

    Those of the tag ``ebb-house`` do what its reaper does in any case, each time in a process that
    takes 6 s to 10 s of CPU: they have no active schedule then. Who wants it resumes it in Prefect.
    """
    if _BY_SERVICE not in (said.get("tags") or ()):
        return dict(said)
    idle = [{**schedule, "active": False} for schedule in schedules_of(said)]
    rest = {key: value for key, value in said.items() if key not in ("schedule", "schedules")}
    return {**rest, "schedules": idle} if idle else rest


def key_of(schedule: Mapping[str, Any]) -> str:
    """Return what identifies a schedule of the file: its slug, or its rule when it has none."""
    if schedule.get("slug"):
        return f"slug {schedule['slug']}"
    if schedule.get("interval"):
        try:
            return f"interval {float(schedule['interval']):g}"
        except ValueError:
            return f"interval {schedule['interval']}"
    kind = "cron" if schedule.get("cron") else "rrule"
    return f"{kind} {schedule.get(kind)}"


def merged(said: Mapping[str, Any], known: Known | None, stands: Standing) -> dict[str, Any]:
    """Merge what the file says of a deployment with what an operator has changed in Prefect.

    Args:
        said: the deployment's definition in the file.
        known: what was deployed last; None when nothing is known of that.
        stands: what Prefect has now.

    Returns:
        The definition to deploy, without schedules: Prefect then keeps those it has.
    """
    copy = {key: value for key, value in said.items() if key not in ("schedule", "schedules")}
    newly_paused = bool(said.get("paused")) and known is not None and not known.said.get("paused")
    copy["paused"] = stands.paused or newly_paused
    for name in FIELDS:
        if _theirs(name, said, known, stands):
            copy[name] = stands.fields.get(name)
    if said.get("triggers"):
        before = list(known.said.get("triggers") or ()) if known else []
        copy["triggers"] = _triggers(said, before, stands.enabled)
    return copy


def changes(said: Mapping[str, Any], known: Known | None, standing: Iterable[Schedule]) -> Changes:
    """Compare the schedules that the file defines with those it defined when it was deployed last.

    Args:
        said: the deployment's definition in the file.
        known: what was deployed last; None when nothing is known of that.
        standing: the schedules that Prefect has now.

    Returns:
        What to change in Prefect; nothing when the file is as it was, whatever Prefect has.
    """
    found = Changes()
    if known is None:
        return found
    now = {key_of(schedule): schedule for schedule in schedules_of(said)}
    before = {key_of(schedule): schedule for schedule in schedules_of(known.said)}
    there = {schedule.key: schedule for schedule in standing}
    gone = [there[key] for key in before if key not in now and key in there]
    found.delete = [schedule.id for schedule in gone]
    follows_paused = any(not schedule.active for schedule in gone)
    for key, schedule in now.items():
        if before.get(key) == schedule or (key not in before and key in there):
            continue
        if key in there:
            found.patch.append((there[key].id, schedule))
        else:
            active = schedule.get("active", True) is not False
            found.create.append((schedule, active and not (follows_paused and key not in before)))
    return found


def _theirs(name: str, said: Mapping[str, Any], known: Known | None, stands: Standing) -> bool:
    """Tell whether somebody has changed a field in Prefect and the file says nothing new."""
    if known is None:
        return name not in _OURS
    changed = stands.fields.get(name) != known.stood.get(name)
    return changed and said.get(name) == known.said.get(name)


def _triggers(
    said: Mapping[str, Any], before: list[dict[str, Any]], enabled: Mapping[str, bool]
) -> list[dict[str, Any]]:
    """Return the triggers of the file, enabled as in Prefect unless the file has changed that."""
    found = []
    for number, trigger in enumerate(said["triggers"]):
        name = trigger.get("name") or f"{said['name']}__automation_{number + 1}"
        earlier = before[number] if number < len(before) else trigger
        same = earlier.get("enabled") == trigger.get("enabled")
        stands = enabled.get(name)
        found.append({**trigger, "enabled": stands} if same and stands is not None else trigger)
    return found
