"""What became of a container or a pod: read from containerStatuses and conditions. Pure.

A container that says OOMKilled may have lost a child only: its main process was killed when its
exit code is 137, whatever the phase.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import format_memory, parse_memory
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.naming import SPOT
from ebbtide.infra.platforms.kubernetes.reading.snapshot import (
    Snapshot,
    condition,
    leaving,
    main,
    main_name,
    moment,
    node_of,
    node_silent,
    state,
)
from ebbtide.infra.policy.explain.exits import exit_sentence

KILLED = 137
"""128 + SIGKILL."""
_SIGNALLED = 128
_SIGNALS = (KILLED, 143, 139, 134)
"""What a container exits with when SIGKILL, SIGTERM, SIGSEGV or SIGABRT ended its process."""
_NEVER_RAN = ("StartError", "ContainerCannotRun", "RunContainerError")
_DISRUPTIONS = {
    "DeletionByTaintManager": Reason.NODE_LOST,
    "DeletionByPodGC": Reason.NODE_LOST,
    "EvictionByEvictionAPI": Reason.EVICTED,
    "PreemptionByScheduler": Reason.EVICTED,
    "TerminationByKubelet": Reason.EVICTED,
}
"""Reasons of the condition DisruptionTarget."""
_REASONS = {reason.value: reason for reason in Reason}
_DISRUPTION_SENTENCES = {
    "DeletionByTaintManager": "its node {node} does not answer any more",
    "DeletionByPodGC": "its node {node} does not exist any more",
    "EvictionByEvictionAPI": "it was evicted from node {node}, as when a node is drained",
    "PreemptionByScheduler": "it had to make room on node {node} for pods of higher priority",
    "TerminationByKubelet": "node {node} ended it",
}


@dataclass(frozen=True, slots=True)
class Unfit:
    """What a pod says that has found out before its start that it cannot be of the cluster."""

    reason: Reason
    telling: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the main process of a container ended."""

    exit_code: int
    """As a process has it: negative for a signal that ended it."""
    out_of_memory: bool = False
    """Whether it was killed for its memory itself."""
    child_out_of_memory: bool = False
    """Whether another process of its container was."""
    never_ran: bool = False
    """Whether its command could not even be started."""
    sentence: str = ""
    """As the end of a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disruption:
    """What was done to a pod from outside."""

    reason: Reason
    sentence: str
    """A clause such as ``it was evicted from node a``."""
    reclaimed: bool = False
    """Whether it goes with a spot node: what drains or stops one is most often its reclaim."""

    @property
    def told(self) -> Reason:
        """The reason for people."""
        return Reason.RECLAIMED if self.reclaimed else self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerEnd:
    """The end of a worker's process, for the run's events; each has a key of its own."""

    key: str
    name: str
    expected: bool
    """Whether it was asked to leave: by the HPA, a drain, an eviction."""
    out_of_memory: bool
    """Whether it, or a process in it, was killed for its memory."""
    sentence: str
    """As the end of a sentence that begins with its name."""
    at: float


def ending(pod: Object, terminated: Object) -> Ending:
    """Read how a main container ended.

    Args:
        pod: whose it is.
        terminated: the ``terminated`` of its state or last state.

    Returns:
        The end, in words that name the memory it had where that ran out.
    """
    code, reason = int(terminated.get("exitCode", 0)), str(terminated.get("reason") or "")
    if reason in _NEVER_RAN:
        said = str(terminated.get("message") or reason)
        return Ending(exit_code=code, never_ran=True, sentence=f"could not be started: {said}")
    out_of_memory = reason == "OOMKilled"
    refused = unfit(told(terminated))
    if refused is not None:
        return Ending(exit_code=_own_code(code), sentence=f"did not start: {refused.telling}")
    own = _own_code(code)
    how = exit_sentence(own)
    has = memory_of(pod)
    limit = f" (it has {has})" if has else ""
    if out_of_memory and code == KILLED:
        sentence = f"was killed: out of memory{limit}"
        return Ending(exit_code=own, out_of_memory=True, sentence=sentence)
    if out_of_memory:
        sentence = f"{how}; a process in it was killed: out of memory{limit}"
        return Ending(exit_code=own, child_out_of_memory=True, sentence=sentence)
    if code == KILLED and leaving(pod):
        return Ending(exit_code=own, sentence="did not end in its time to leave, and was killed")
    return Ending(exit_code=own, sentence=how)


def told(terminated: Mapping[str, Any]) -> dict[str, Any]:
    """What a process of ours has left as termination message; empty when it could not."""
    try:
        found = json.loads(terminated.get("message") or "")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def unfit(said: Mapping[str, Any]) -> Unfit | None:
    """Why a process of ours refused to start, by what it has left; None when it did not."""
    reason = _REASONS.get(str(said.get("reason") or ""))
    if reason is None:
        return None
    return Unfit(reason, str(said.get("telling") or ""), str(said.get("hint") or ""))


def disruption(pod: Object) -> Disruption | None:
    """What was done to a pod from outside; None when nothing was."""
    found = _disruption(pod)
    if found is None or not _goes_with_spot_node(pod, found):
        return found
    sentence = f"its spot node is taken away: {found.sentence}"
    return replace(found, reclaimed=True, sentence=sentence)


def _goes_with_spot_node(pod: Object, found: Disruption) -> bool:
    """Not one that was put out for its node's want of memory, or to make room for others."""
    if SPOT not in (pod["metadata"].get("annotations") or {}):
        return False
    target = condition(pod, "DisruptionTarget") or {}
    if target.get("reason") == "TerminationByKubelet":
        return "shutdown" in str(target.get("message") or "")
    drained = target.get("reason") == "EvictionByEvictionAPI"
    return drained or found.reason is Reason.NODE_LOST


def _disruption(pod: Object) -> Disruption | None:
    node = node_of(pod) or "?"
    target = condition(pod, "DisruptionTarget")
    if target is not None and target.get("status") == "True":
        why = str(target.get("reason") or "")
        reason = _DISRUPTIONS.get(why, Reason.EVICTED)
        sentence = _DISRUPTION_SENTENCES.get(why, "it was taken from node {node}")
        sentence = sentence.format(node=node)
        said = str(target.get("message") or "") if why == "TerminationByKubelet" else ""
        return Disruption(reason=reason, sentence=f"{sentence}: {said}" if said else sentence)
    status = pod.get("status", {})
    if status.get("reason") == "Evicted":
        sentence = f"node {node} evicted it: {status.get('message', '')}".strip(": ")
        return Disruption(reason=Reason.EVICTED, sentence=sentence)
    if status.get("reason") in ("NodeLost", "NodeShutdown", "Terminated"):
        sentence = f"its node {node} went away: {status.get('message', '')}".strip(": ")
        return Disruption(reason=Reason.NODE_LOST, sentence=sentence)
    if status.get("phase") == "Failed" and main(pod) is None:
        said = ": ".join(filter(None, (status.get("reason"), status.get("message"))))
        return Disruption(reason=Reason.POD_LOST, sentence=f"node {node} refused it: {said}")
    if leaving(pod):
        return Disruption(reason=Reason.POD_LOST, sentence="its pod was deleted by somebody else")
    return None


def out_of_reach(pod: Object) -> bool:
    """Whether its node does not answer: nothing can be asked of it, and it may run on there."""
    taken = disruption(pod)
    return node_silent(pod) or (taken is not None and taken.reason is Reason.NODE_LOST)


def worker_ends(snapshot: Snapshot, names: Mapping[str, str]) -> tuple[WorkerEnd, ...]:
    """All ends of workers' processes that the pods still tell of; each only once by its key.

    Args:
        snapshot: of the cluster.
        names: as ``worker_names`` gave them.

    Returns:
        The ends, workers in order of creation. A pod that went between two looks is not among
        them: it left.
    """
    return tuple(end for pod in snapshot.workers for end in _ends_of(pod, names))


def memory_of(pod: Object) -> str:
    """The memory that a pod's main container may have, as people write it; empty: no limit."""
    containers = pod.get("spec", {}).get("containers") or ()
    mine: Object = next((each for each in containers if each["name"] == main_name(pod)), {})
    limit = ((mine.get("resources") or {}).get("limits") or {}).get("memory")
    try:
        return format_memory(parse_memory(str(limit))) if limit else ""
    except ValueError:
        return str(limit)


def _ends_of(pod: Object, names: Mapping[str, str]) -> Iterator[WorkerEnd]:
    status, meta = main(pod) or {}, pod["metadata"]
    restarts = int(status.get("restartCount", 0))
    before = (status.get("lastState") or {}).get("terminated")
    last = state(pod, "terminated")
    taken = disruption(pod)
    for count, terminated in ((restarts - 1, before), (restarts, last)):
        if not terminated:
            continue
        end = ending(pod, terminated)
        expected = taken is not None and count == restarts and not end.out_of_memory
        sentence = end.sentence
        deleted = taken is not None and taken.reason is Reason.POD_LOST  # as scaling in does
        if taken is not None and count == restarts and not deleted:
            sentence += f"; {taken.sentence}"
        yield WorkerEnd(
            key=f"{meta.get('uid', meta['name'])}/{count}",
            name=names.get(meta["name"], meta["name"]),
            expected=expected,
            out_of_memory=end.out_of_memory or end.child_out_of_memory,
            sentence=sentence,
            at=moment(terminated.get("finishedAt")) or 0.0,
        )


def _own_code(code: int) -> int:
    """A signal's number is negative; a program that exits with such a code itself is rare."""
    return _SIGNALLED - code if code in _SIGNALS else code
