"""The user's program as its pod tells of it. Pure.

Its wrapper leaves a JSON object as the container's termination message: exact times, the program's
own exit code, the line that tells why it failed. Where there is none, the container's state counts.
"""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ebbtide.infra.models.cluster import JobView
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.models.resources import format_memory
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.naming import ENDED_BECAUSE
from ebbtide.infra.platforms.kubernetes.reading.failures import (
    Disruption,
    Ending,
    disruption,
    ending,
    memory_of,
    told,
    unfit,
)
from ebbtide.infra.platforms.kubernetes.reading.snapshot import (
    main,
    moment,
    node_of,
    node_silent,
    ready_at,
    state,
)
from ebbtide.infra.policy.cluster_use import Notes, notes_from
from ebbtide.infra.policy.explain.diagnosis import fix_for

LATER = ExitCode.TEMPORARY
"""The wrapper's own exit code when what it had to wait for did not come."""
_ENDS = (signal.SIGTERM, signal.SIGKILL, signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What happened around a program that may be why it failed."""

    head_lost: tuple[Reason, str] | None = None
    """Why its cluster was lost below it."""
    out_of_memory: str = ""
    """Of a worker that was killed for its memory."""
    releasing: bool = False
    """Whether its pod goes because we release it."""


def job_view(pod: Object, last: JobView, around: Around) -> JobView:
    """The program, by the pod in which it runs.

    Args:
        pod: of the driver.
        last: as it was seen before; what has ended stays as it ended.
        around: what else is known.

    Returns:
        The view.
    """
    if last.ended_at is not None:
        return last
    terminated = state(pod, "terminated")
    if terminated is not None:
        return _ended(pod, terminated, last, around)
    started_at = last.started_at
    if started_at is None and (main(pod) or {}).get("ready") and not node_silent(pod):
        running = state(pod, "running") or {}
        started_at = ready_at(pod) or moment(running.get("startedAt"))
    return replace(last, started_at=started_at)


def notes_of(pod: Object | None) -> Notes:
    """What the hook in a program has noted; it comes with the program's end."""
    terminated = state(pod, "terminated") if pod is not None else None
    return notes_from(told(terminated).get("notes") or {}) if terminated else Notes()


def ended_because(annotations: Mapping[str, str]) -> tuple[Reason, str] | None:
    """Why a driver's pod was told to end, by its annotations; None when it was not told by us."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        found = json.loads(annotations[ENDED_BECAUSE])
        return Reason(found["reason"]), str(found["detail"])
    return None


def _ended(pod: Object, terminated: Object, last: JobView, around: Around) -> JobView:
    said, end = told(terminated), ending(pod, terminated)
    code = said.get("exit_code", end.exit_code)
    code = code if isinstance(code, int) else end.exit_code
    started_at = said.get("started_at") or last.started_at
    if not said:
        started_at = started_at or moment(terminated.get("startedAt"))
    stored, lost = _stored(said)
    view = JobView(
        started_at=started_at,
        first_output_at=said.get("first_output_at"),
        ended_at=said.get("ended_at") or moment(terminated.get("finishedAt")) or last.started_at,
        exit_code=code,
        detail=str(said.get("telling") or ""),
        hint=str(said.get("hint") or ""),
        stored=stored,
    )
    if end.never_ran:
        detail = f"the program's container {end.sentence}"
        return replace(view, exit_code=None, reason=Reason.IMAGE_UNUSABLE, detail=detail)
    if code == 0 and not lost:
        return view
    if code == 0:
        return replace(view, reason=Reason.OUTPUTS_NOT_STORED, detail=lost)
    reason, detail = _why(pod, said, replace(end, exit_code=code), around)
    hint = view.hint or (fix_for(reason) if reason is Reason.OUT_OF_MEMORY else "")
    started = not said or started_at is not None or code < 0
    shown = code if started else None
    detail = "; ".join(filter(None, (detail or view.detail, lost)))
    return replace(view, exit_code=shown, reason=reason, detail=detail, hint=hint)


def _stored(said: Mapping[str, Any]) -> tuple[str, str]:
    """How much of its output was stored, and why it was not; one of them empty, or both."""
    found = said.get("stored")
    if not isinstance(found, dict):
        return "", ""
    if "lost" in found:
        return "", str(found["lost"])
    files = int(found["files"])
    return f"{files} file{'s' * (files != 1)}, {format_memory(int(found['bytes']))}", ""


def _why(pod: Object, said: Mapping[str, Any], end: Ending, around: Around) -> tuple[Reason, str]:
    """Why it failed: what was done to it first, then what it did itself."""
    ours = ended_because(pod["metadata"].get("annotations") or {})
    if ours is not None:
        return ours
    taken = _taken(pod, end, around)
    if taken is not None:
        return taken.told, f"the program: {taken.sentence}"
    if around.head_lost is not None:
        return around.head_lost
    own = unfit(said)
    if own is not None:
        return own.reason, f"the program on node {node_of(pod)}: {own.telling}"
    memory = _memory(pod, end) or around.out_of_memory
    if memory:
        return Reason.OUT_OF_MEMORY, memory
    if said and not said.get("started_at"):
        later = end.exit_code in (-signal.SIGTERM, LATER)
        why = str(said.get("not_started") or said.get("telling") or "")
        return Reason.LAUNCH_FAILED if later else Reason.NOT_STARTED, why
    return Reason.EXIT_CODE, ""


def _taken(pod: Object, end: Ending, around: Around) -> Disruption | None:
    """What ended it from outside. A program that failed by itself before is not excused by it."""
    found = disruption(pod)
    if found is None or around.releasing or end.out_of_memory:
        return None
    # A JVM, and a shell whose command it is, say 128 and the number where others die of it.
    by_signal = end.exit_code in (*(-number for number in _ENDS), *(128 + n for n in _ENDS))
    if found.reason is Reason.POD_LOST and not by_signal:
        return None
    return found


def _memory(pod: Object, end: Ending) -> str:
    limit = memory_of(pod)
    has = f" ({limit} allowed)" if limit else ""
    killed = end.exit_code == -signal.SIGKILL
    if end.out_of_memory or (end.child_out_of_memory and killed):
        return f"the program was killed{has}"
    if end.child_out_of_memory:
        return f"a process of the program was killed{has}, then it ended with {end.exit_code}"
    return ""
