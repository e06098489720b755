"""Why a container does not start on its node: its image, its volumes, its command. Pure.

A registry that refuses will refuse again, and the run fails with its words. One that is away or
busy has a little less than half a minute from its first failure. Of one that takes a connection and
never answers its node says nothing, as of a large image that comes: there the pool's time counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import format_duration
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.reading.snapshot import (
    Snapshot,
    began,
    happened,
    node_of,
)
from ebbtide.infra.platforms.kubernetes.reading.waits import DEADLINES, IMAGE, STARTING, Wait

_PULL = ("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError")
_NEVER_PULL = ("InvalidImageName", "ErrImageNeverPull", "SignatureValidationFailed")
_CANNOT_MAKE = ("CreateContainerConfigError", "CreateContainerError")
_BUSY = re.compile(r"toomanyrequests|\b429\b|QPS exceeded|timeout|timed out", re.IGNORECASE)
_REFUSED = re.compile(
    r"not found|manifest unknown|unauthorized|denied|forbidden|no match for platform|x509"
    r"|invalid reference|does not exist|insufficient_scope|authentication required",
    re.IGNORECASE,
)
_WRAPPING = re.compile(
    r'^(?:Back-off pulling image "[^"]*":?|ErrImagePull:|Failed to pull image "[^"]*":'
    r"|(?:rpc error: )?code = \w+ desc =|failed to pull and unpack image \"[^\"]*\":"
    r'|failed to resolve (?:reference|image) "[^"]*":|Error response from daemon:)\s*'
)
_SOCKETS = re.compile(r"(?:read|write|dial) (?:tcp|udp) \S+->\S+: ")
"""With a port that is another one each time."""
_SANDBOX = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
_BEYOND = ("Pulling", "Pulled", "Created", "Started")
"""What a node does next, once volumes and network are there."""
_ID = re.compile(r"\b[0-9a-f]{12,}\b")
"""Of a container or a snapshot that is tried to be made: another one each time."""
_CONTAINER_S = (DEADLINES.container_passes_s, DEADLINES.container_s)
_SANDBOX_S = (DEADLINES.sandbox_passes_s, DEADLINES.sandbox_s)
_LONGEST = 300
_SILENT_S = (60.0, 120.0, 300.0, 600.0, 1200.0, 2400.0)
"""How long a pull has lasted without a word when that is told again."""
_SILENT_HINT = (
    "see whether the registry answers that node; if the image is large, the pool's pull-within in"
    " ebb.yaml allows it longer"
)
_HINT = "see the pool's image in ebb.yaml, whether it exists, and the namespace's imagePullSecrets"


def container_wait(snapshot: Snapshot, pod: Object, pull_within_s: float) -> Wait | None:
    """Say why no container of a pod that has a node runs yet.

    Args:
        snapshot: with the pod's events.
        pod: which.
        pull_within_s: how long its node may take to get the image, in seconds.

    Returns:
        The first of its containers' obstacles; None when all of them run or have run.
    """
    waiting = [(status, found) for status in _statuses(pod) if (found := _waiting(status))]
    for status, found in waiting:
        wait = _obstacle(snapshot, pod, status, found)
        if wait is not None:
            return wait
    if pod.get("status", {}).get("containerStatuses") and not waiting:
        return None
    return _being_made(snapshot, pod, pull_within_s)


def pull_error(message: str) -> str:
    """What the registry itself said, without what was wrapped around it."""
    text, before = message.strip(), ""
    while text != before:
        before, text = text, _WRAPPING.sub("", text)
    return _SOCKETS.sub("", text)[:_LONGEST]


def _obstacle(snapshot: Snapshot, pod: Object, status: Object, found: Object) -> Wait | None:
    why, said = str(found.get("reason") or ""), str(found.get("message") or "")
    image = status.get("image", "")
    if why in _PULL or why in _NEVER_PULL:
        return _no_image(snapshot, pod, str(image), (why, said))
    if why in _CANNOT_MAKE:
        failed = [e for e in snapshot.events_of(pod) if said and _is_of(e, said)]
        what = f"the container: {_without_ids(said) or why}"
        since = min(map(began, failed), default=None)
        return _not_made(snapshot, pod, what, since, _CONTAINER_S)
    if why == "RunContainerError":
        message = f"image {image} cannot be started: {said}"[:_LONGEST]
        reason, allowed_s = Reason.IMAGE_UNUSABLE, DEADLINES.command_s
        return Wait(rank=STARTING, message=message, reason=reason, hint=_HINT, allowed_s=allowed_s)
    return None


def _is_of(event: Object, said: str) -> bool:
    """Whether a node tells by it of what a container waits for."""
    message = _without_ids(str(event.get("message") or ""))
    return event.get("reason") == "Failed" and _without_ids(said) in message


def _without_ids(said: str) -> str:
    """The same words for the same trouble, whichever try it is."""
    return _ID.sub("…", said)


def _not_made(
    snapshot: Snapshot, pod: Object, what: str, since: float | None, times: tuple[float, float]
) -> Wait:
    """What its node tries again and again; much of it passes by itself within seconds.

    Args:
        snapshot: with the time.
        pod: which.
        what: cannot be made, and why.
        since: when it could not for the first time; None: not known, and it is told at once.
        times: for how long nothing is wrong, and after how long it is given up; in seconds.

    Returns:
        The wait, with a reason once it has lasted.
    """
    passes_s, allowed_s = times
    lasts = since is None or snapshot.now - since >= passes_s
    return Wait(
        rank=STARTING,
        message=f"node {node_of(pod)} cannot make {what}"[:_LONGEST],
        reason=Reason.LAUNCH_FAILED if lasts else None,
        since=since,
        allowed_s=allowed_s,
    )


def _no_image(snapshot: Snapshot, pod: Object, image: str, told: tuple[str, str]) -> Wait:
    why, said = told
    failed = [event for event in snapshot.events_of(pod) if _is_pull_failure(event)]
    answers = (pull_error(str(event.get("message") or "")) for event in reversed(failed))
    sentence = pull_error(said) or next(filter(None, answers), "")
    refused = why in _NEVER_PULL or (_REFUSED.search(sentence) and not _BUSY.search(sentence))
    return Wait(
        rank=IMAGE,
        message=f"image {image} cannot be pulled: {sentence or why}",
        reason=Reason.IMAGE_UNUSABLE if refused else Reason.REGISTRY_SILENT,
        hint=_HINT,
        since=min(map(began, failed), default=None),
        allowed_s=0.0 if refused else DEADLINES.image_s,
    )


def _is_pull_failure(event: Object) -> bool:
    message = str(event.get("message") or "")
    return event.get("reason") in ("Failed", "InspectFailed") and "pull image" in message


def _being_made(snapshot: Snapshot, pod: Object, pull_within_s: float) -> Wait:
    """Between its node and its first process: what its node says it does."""
    said = {str(event.get("reason")): event for event in snapshot.events_of(pod)}
    node, beyond_s = node_of(pod), _beyond_s(snapshot, pod)
    failed = _sandbox_failures(snapshot, pod, beyond_s)
    if failed:
        what = f"the pod: {_without_ids(str(failed[-1].get('message') or ''))}"
        since = max(beyond_s, min(map(began, failed)))
        return _not_made(snapshot, pod, what, since, _SANDBOX_S)
    pulling, pulled = said.get("Pulling"), said.get("Pulled")
    if pulling and (pulled is None or happened(pulled) < happened(pulling)):
        return _pulling(snapshot, pulling, node, pull_within_s)
    return Wait(rank=STARTING, message=f"node {node} makes its container")


def _beyond_s(snapshot: Snapshot, pod: Object) -> float:
    """When its node last did what comes after volumes and network; 0.0: it has not yet."""
    done = (e for e in snapshot.events_of(pod) if e.get("reason") in _BEYOND)
    return max(map(happened, done), default=0.0)


def _sandbox_failures(snapshot: Snapshot, pod: Object, beyond_s: float) -> list[Object]:
    """Why its volumes or its network are not there, oldest first; nothing once they are.

    Volumes stay: a node writes those of a Secret or a ConfigMap anew every minute or so, and that
    this fails once keeps no container. A sandbox can be lost, and then has to be made again.
    """
    late = _SANDBOX[-1:] if beyond_s else _SANDBOX
    found = [e for e in snapshot.events_of(pod) if e.get("reason") in late]
    return sorted((e for e in found if happened(e) > beyond_s), key=happened)


def _pulling(snapshot: Snapshot, pulling: Object, node: str, within_s: float) -> Wait:
    """A pull of which nothing is known but that it began."""
    sentence = str(pulling.get("message") or "").replace("Pulling", "pulls", 1)
    waited_s = snapshot.now - began(pulling)
    silent_s = max((step for step in (*_SILENT_S, within_s) if step <= waited_s), default=0.0)
    image = sentence.partition('"')[2].rstrip('"') or "an image"
    quiet = f"node {node} is pulling {image} for {format_duration(silent_s)}, no answer"
    return Wait(
        rank=IMAGE,
        message=quiet if silent_s else f"node {node} {sentence}",
        hint=_SILENT_HINT if silent_s else "",
        since=began(pulling),
        allowed_s=within_s,
        fails_as=Reason.REGISTRY_SILENT,
    )


def _statuses(pod: Object) -> Iterator[Object]:
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _waiting(status: Object) -> Object | None:
    found = (status.get("state") or {}).get("waiting")
    return found if isinstance(found, dict) else None
