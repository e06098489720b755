"""Why the pod of a flow does not run yet, or never will, in Kubernetes' own words."""

from __future__ import annotations

from dataclasses import dataclass

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.kinds import EVENT, JOB, Object
from ebbtide.infra.platforms.kubernetes.reading.snapshot import condition

_NEVER = ("ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "ErrImageNeverPull")
"""What a pod waits for that will not come by waiting."""
_ERRORS = (1, 2, 126, 127)
"""Exit codes of a program that could not do its work; others are of one that was ended."""
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Told:
    """Of one pod of a flow that has not taken its run over."""

    why: str = ""
    """What it waits for or has ended with; empty when it runs."""
    never: bool = False
    """Whether waiting is in vain."""
    how: str = "cannot start"
    """What has become of it then."""


def told(api: Api, pod: Object, container: str) -> Told:
    """Read what a pod waits for, or why it has ended.

    Args:
        api: of its namespace.
        pod: as the API server has it.
        container: in which the flow is.

    Returns:
        What is to be said of it.
    """
    for each in pod.get("status", {}).get("containerStatuses") or ():
        waits, ended = each["state"].get("waiting"), each["state"].get("terminated")
        if waits:
            word = str(waits.get("reason", ""))
            return Told(f"{word}: {waits.get('message', '')}".strip(": "), word in _NEVER)
        if ended and each["name"] == container and ended.get("exitCode") in _ERRORS:
            last = _last_line(api, pod["metadata"]["name"], container)
            return Told(last or "it says nothing", True, f"ended with code {ended['exitCode']}")
    placed = condition(pod, "PodScheduled")
    if placed is None or placed["status"] == "True":
        return Told()
    return Told(f"{placed.get('reason', '')}: {placed.get('message', '')}".strip(": "))


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
