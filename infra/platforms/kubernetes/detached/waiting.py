"""Why the pod of a flow does not run yet, or never will, in Kubernetes' own words.

Why a container does not start is read as for the pods of a cluster (``reading.images``).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from ebbtide.infra.models.cluster import WaitingView
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.kinds import EVENT, JOB, POD, Object
from ebbtide.infra.platforms.kubernetes.reading.images import container_wait
from ebbtide.infra.platforms.kubernetes.reading.snapshot import (
    Snapshot,
    condition,
    happened,
    placed,
    runs,
)
from ebbtide.infra.waiting import now_s, wall_s

_ERRORS = (1, 2, 126, 127)
"""Exit codes of a program that could not do its work; others are of one that was ended."""
_LONGEST = 300
_EVERY_S = 2.0
"""Its events are read so often, while it has a node and does not run."""


@dataclass(frozen=True, slots=True)
class Told:
    """Of one pod of a flow that has not taken its run over."""

    why: str = ""
    """What it waits for or has ended with; empty when it runs."""
    never: bool = False
    """Whether waiting is in vain."""
    how: str = "cannot start"
    """What has become of it then."""


class FlowPod:
    """The pod of one flow, as it is looked at again and again until it runs."""

    def __init__(self, api: Api, pull_within_s: float):
        """Nothing is asked yet.

        Args:
            api: of its namespace.
            pull_within_s: how long its node may take to get the image, in seconds.
        """
        self._api, self._pull_within_s = api, pull_within_s
        self._last: WaitingView | None = None
        self._events: tuple[Object, ...] = ()
        self._asked_s = -_EVERY_S

    def told(self, pod: Object, container: str) -> Told:
        """Read what a pod waits for, or why it has ended.

        Args:
            pod: as the API server has it.
            container: in which the flow is.

        Returns:
            What is to be said of it.
        """
        for each in pod.get("status", {}).get("containerStatuses") or ():
            state = each["state"]
            if "waiting" in state:  # to be started again
                state = each.get("lastState") or {}
            ended = state.get("terminated")
            if ended and each["name"] == container and ended.get("exitCode") in _ERRORS:
                last = _last_line(self._api, pod["metadata"]["name"], container)
                how = f"ended with code {ended['exitCode']}"
                return Told(last or "it says nothing", True, how)
        if runs(pod, container):
            return Told()
        if not placed(pod):
            said = condition(pod, "PodScheduled") or {}
            return Told(f"{said.get('reason', '')}: {said.get('message', '')}".strip(": "))
        return self._late(pod)

    def _late(self, pod: Object) -> Told:
        """It has a node, and does not run there."""
        now = wall_s() + self._api.ahead_s
        events = self._events_of(pod["metadata"]["name"])
        snapshot = Snapshot(cluster=ClusterId(""), now=now, pods=(pod,), events=events)
        wait = container_wait(snapshot, pod, self._pull_within_s)
        if wait is None:
            return Told()
        before, self._last = self._last, wait.view(self._last, now)
        failure = wait.failure(before, now)
        return Told(wait.message, failure is not None)

    def _events_of(self, pod: str) -> tuple[Object, ...]:
        if now_s() - self._asked_s >= _EVERY_S:
            self._asked_s = now_s()
            fields = f"involvedObject.kind={POD.name},involvedObject.name={pod}"
            with contextlib.suppress(ApiError):  # they may not be read
                self._events = tuple(
                    sorted(self._api.list(EVENT, None, fields).items, key=happened)
                )
        return self._events


def why_no_pod(api: Api, job: str) -> str:
    """Read why a Job has no pod: the newest refusal.

    Args:
        api: of its namespace.
        job: its name.

    Returns:
        The words of the API server; empty when there are none, or they may not be read.
    """
    about = {"kind": JOB.name, "name": job}
    fields = [f"involvedObject.{name}={value}" for name, value in about.items()]
    query = {"fieldSelector": ",".join([*fields, "reason=FailedCreate"])}
    try:
        found = api.ask(Request(path=EVENT.path(api.namespace), query=query))["items"]
    except ApiError:
        return ""
    return str(found[-1].get("message", ""))[:_LONGEST] if found else ""


def _last_line(api: Api, pod: str, container: str) -> str:
    try:
        text = b"".join(api.logs(pod, container, {"tailLines": "5"})).decode(errors="replace")
    except ApiError:
        return ""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:_LONGEST] if lines else ""
