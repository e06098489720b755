"""Why a pod has no node: the scheduler's words, and those of what makes nodes. Pure.

Cluster Autoscaler and Karpenter answer in events about the pod. Of node groups of other pools they
say that the pod's selector does not match, before they look at sizes: "Insufficient cpu" is
therefore about a fresh node of the pool that the pod asks for, and never becomes true.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ebbtide.infra.models.cluster import ClusterSpec, MemberAsk
from ebbtide.infra.models.hardware import HardwareTier, NodePool
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import NOTHING, Resources, format_duration
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.reading.nodes.claims import Progress, progress
from ebbtide.infra.platforms.kubernetes.reading.snapshot import (
    WORKER,
    Snapshot,
    began,
    changed_at,
    condition,
    happened,
    holds,
    moment,
    role,
    source,
)
from ebbtide.infra.platforms.kubernetes.reading.waits import DEADLINES, SCHEDULING, Wait

NOBODY_ANSWERS_S = 60.0
"""So long after the scheduler's word what makes nodes has said something, where there is one."""
_TRIGGERED, _NOT_TRIGGERED = "TriggeredScaleUp", "NotTriggerScaleUp"
_SIZES = re.compile(r"\{(?P<group>\S+) (?P<old>\d+)->(?P<new>\d+) \(max: (?P<max>\d+)\)\}")
_LACKS = re.compile(r"Insufficient (\S+?)[,.;]?(?:$|\s)")
_TOO_SMALL = re.compile(r"no instance type (?:has|had|satisfied)(?: enough)? resources")
_NOT_OFFERED = (
    r"(?<!or )ha[sd] (?:a|the) required offering|required offering had the required resources"
    r"|requirements/resources/offering tuple"
)
"""Karpenter, of machine types that are large enough, and that the cloud does not give now."""
_AT_MAX = re.compile(r"max node group size reached|exceed limits for nodepool|max limit reached")
_BACK_OFF = re.compile(
    rf"in backoff after failed scale-up|insufficient capacity|{_NOT_OFFERED}", re.IGNORECASE
)
_ELSEWHERE = re.compile(r"node affinity|node selector|incompatible requirements|taint")
_ASIDE = re.compile(r"(?: no new claims to deallocate,?)?(?: preemption: .*)?$")
_CLAIM = re.compile(r"node(?:claim)?/(\S+?)(?:[,\s]|$)")
_LONGEST = 200
_LIKE_IT = "wait, or take a --tier of another pool (ebb tiers)"
_NOBODY_HINT = (
    "see whether an autoscaler runs and knows the pool, as nodes: in ebb.yaml says that it grows;"
    " and whether node-cpu and node-memory there are without what daemons take of a node"
)
_LABEL_HINT = (
    "see the pool's name, label and taints, and the tier's gpu-type, in ebb.yaml;"
    " kubectl get nodes --show-labels"
)


def unplaced_wait(
    snapshot: Snapshot, pod: Object, spec: ClusterSpec, usual_s: float | None = None
) -> Wait:
    """Say why a pod has no node yet.

    Args:
        snapshot: with the pod's events.
        pod: which.
        spec: of its cluster.
        usual_s: how long its pool usually takes to grow, in seconds; None: not known.

    Returns:
        The last word of whoever decides.
    """
    scheduled = condition(pod, "PodScheduled") or {}
    if scheduled.get("reason") == "SchedulingGated":
        return Wait(rank=SCHEDULING, message="something of this cluster holds it back by a gate")
    nominated = pod.get("status", {}).get("nominatedNodeName")
    if nominated:
        return Wait(rank=SCHEDULING, message=f"node {nominated} makes room for it", grows=True)
    answers: Sequence[Object] = [e for e in snapshot.events_of(pod) if _is_answer(e)]
    if not answers:  # a node that grows for another pod of ours may have room for this one too
        made_at = moment(pod["metadata"].get("creationTimestamp")) or 0.0
        grew = (event for event in snapshot.events if _is_growth(event))
        answers = [event for event in grew if happened(event) >= made_at]
    answers = sorted(answers, key=happened)
    if answers and _is_growth(answers[-1]):
        return _growing(snapshot, answers, spec, usual_s)
    if answers:
        return _refused(snapshot, answers, spec, pod)
    return _unanswered(snapshot, pod, spec)


def never_fits(spec: ClusterSpec, node: Resources | None) -> Wait | None:
    """Say which tier no node of the pool can ever hold, as far as their size is known.

    Args:
        spec: of the cluster.
        node: what one node of its pool offers; None: not known.

    Returns:
        A wait that has failed already; None when all fit.
    """
    for ask in spec.member_asks:
        if node is not None and not ask.amount.fits_in(node):
            with_it = f", and its pod {ask.beside} more" if ask.tier.resources.fits_in(node) else ""
            offers = f"a node of pool {spec.pool.name} has {node}"
            message = f"tier {ask.tier.name} asks {ask.tier.resources}{with_it}; {offers}"
            hint = _that_fits(spec, ask.tier, ask.flag, node - ask.beside)
            return _never(Reason.TIER_EXCEEDS_POOL, message, hint)
    return None


def growth_s(snapshot: Snapshot, pods: Sequence[Object]) -> float | None:
    """How long the pool took to grow, from its order to the first of these pods that has a node."""
    for pod in pods:
        grew = [event for event in snapshot.events_of(pod) if _is_growth(event)]
        placed_at = changed_at(pod, "PodScheduled")
        if grew and placed_at is not None and holds(pod, "PodScheduled"):
            return max(0.0, placed_at - min(map(happened, grew)))
    return None


def _is_growth(event: Object) -> bool:
    return event.get("reason") in (_TRIGGERED, "Nominated")


def _is_answer(event: Object) -> bool:
    """An autoscaler that knows no pool at all refuses without a reason: that says nothing."""
    reason = event.get("reason")
    if reason == _NOT_TRIGGERED:
        return bool(_plain(str(event.get("message") or "")))
    if _is_growth(event):
        return True
    return reason == "FailedScheduling" and "karpenter" in source(event)


def _growing(
    snapshot: Snapshot, answers: Sequence[Object], spec: ClusterSpec, usual_s: float | None
) -> Wait:
    event, pool = answers[-1], spec.pool.name
    text, since = str(event.get("message") or ""), happened(event)
    sizes, claim = _SIZES.search(text), _CLAIM.search(text)
    how_far = ""
    if sizes:
        group = snapshot.pool_status.get(sizes["group"]) or {}
        if (group.get("scaleUp") or {}).get("status") == "Backoff":
            return _out_of_stock(group, spec, answers)
        grows = f"pool {pool} grows {sizes['old']} → {sizes['new']}"
    else:
        grows = f"pool {pool} grows by a node" + (f" ({claim[1]})" if claim else "")
    if claim and claim[1] in snapshot.node_claims:
        found = progress(snapshot.node_claims[claim[1]])
        if found.reason is not None:
            return _claim_fails(claim[1], found, spec, answers)
        how_far = f": {found.sentence}"
    usually = f"; usually takes {format_duration(usual_s)} here" if usual_s else ""
    if snapshot.now - since > 3 * (usual_s or NOBODY_ANSWERS_S):
        usually += "; it takes longer than that" if usual_s else "; it takes its time"
    return Wait(
        rank=SCHEDULING,
        message=f"{grows}{how_far}{usually}",
        grows=True,
        since=since,
        allowed_s=spec.pool.node_within_s,
        fails_as=Reason.NO_NODE,
    )


def _claim_fails(name: str, found: Progress, spec: ClusterSpec, answers: Sequence[Object]) -> Wait:
    """Karpenter makes a new claim each time, so that it counts from the first."""
    return Wait(
        rank=SCHEDULING,
        message=f"pool {spec.pool.name} does not get node {name}: {found.sentence}",
        reason=found.reason,
        hint=_LIKE_IT,
        since=min(map(began, answers)),
        allowed_s=DEADLINES.back_off_s,
    )


def _refused(snapshot: Snapshot, answers: Sequence[Object], spec: ClusterSpec, pod: Object) -> Wait:
    text, pool = str(answers[-1].get("message") or ""), spec.pool.name
    lacks = sorted(set(_LACKS.findall(text)))
    if lacks or _TOO_SMALL.search(text):
        ask = _ask_of(pod, spec)
        tier, beside = ask.tier, f", and its pod {ask.beside} more" if ask.beside != NOTHING else ""
        either = "CPU, memory or GPUs" if tier.resources.gpus else "CPU or memory"
        what = " and ".join(lacks) or either
        message = (
            f"no node of pool {pool} can ever hold tier {tier.name} ({tier.resources}{beside}):"
            f" a fresh one has too little {what} beside its daemons"
        )
        hint = _that_fits(spec, tier, ask.flag, _less_than(tier, lacks, spec.pool))
        return _never(Reason.TIER_EXCEEDS_POOL, message, hint)
    group = snapshot.pool_status.get(pool) or {}
    since = _refused_since(answers)
    left_alone = (group.get("scaleUp") or {}).get("status") == "Backoff"
    at_max, backs_off = bool(_AT_MAX.search(text)), bool(_BACK_OFF.search(text))
    full = _is_full(group)
    if not left_alone and at_max and (full or (full is None and not backs_off)):
        maximum = (group.get("health") or {}).get("maxSize")
        nodes = f" of {maximum} nodes" if maximum else ""
        message = f"pool {pool} is at its maximum{nodes}, and they are full"
        reason, allowed_s = Reason.POOL_AT_MAX, DEADLINES.at_maximum_s
        return Wait(
            rank=SCHEDULING, message=message, reason=reason, since=since, allowed_s=allowed_s
        )
    if left_alone or (backs_off and (full is False or not at_max)):
        return _out_of_stock(group, spec, answers)
    if _ELSEWHERE.search(text) and not at_max and not backs_off:
        if _LACKS.search(str((condition(pod, "PodScheduled") or {}).get("message") or "")):
            return _unanswered(snapshot, pod, spec)  # its nodes are full, and others' is the word
        message = f"nothing makes nodes for pool {pool}: {_plain(text)}"
        return _never(Reason.POOL_UNKNOWN, message, _LABEL_HINT)
    return Wait(
        rank=SCHEDULING,
        message=f"pool {pool} does not grow: {_plain(text)}",
        reason=Reason.NO_NODE,
        since=since,
        allowed_s=DEADLINES.no_growth_s,
    )


def _refused_since(answers: Sequence[Object]) -> float:
    """Since when no node has been ordered: the first refusal after the last order."""
    ordered = max((happened(each) for each in answers if _is_growth(each)), default=0.0)
    refusals = [each for each in answers if not _is_growth(each) and happened(each) >= ordered]
    return max(ordered, min(map(began, refusals)))


def _is_full(group: Mapping[str, Any]) -> bool | None:
    """Whether a pool is at its maximum; None: not known, as other pools' words may tell of them."""
    health = group.get("health") or {}
    target, maximum = health.get("cloudProviderTarget"), health.get("maxSize")
    return None if target is None or maximum is None else bool(target >= maximum)


def _out_of_stock(group: Mapping[str, Any], spec: ClusterSpec, answers: Sequence[Object]) -> Wait:
    """It counts from the first time: between its pauses an autoscaler orders again and again."""
    told = (group.get("scaleUp") or {}).get("backoffInfo") or {}
    code, said = told.get("errorCode"), told.get("errorMessage")
    why = ": ".join(filter(None, (code, said)))
    message = f"pool {spec.pool.name} could not grow, and is left alone for a while"
    return Wait(
        rank=SCHEDULING,
        message=(f"{message}: {why}" if why else message)[:_LONGEST],
        reason=Reason.OUT_OF_STOCK,
        hint=_LIKE_IT,
        since=min(map(began, filter(_backs_off, answers)), default=began(answers[-1])),
        allowed_s=DEADLINES.back_off_s,
    )


def _backs_off(event: Object) -> bool:
    return _BACK_OFF.search(str(event.get("message") or "")) is not None


def _unanswered(snapshot: Snapshot, pod: Object, spec: ClusterSpec) -> Wait:
    """Only the scheduler has spoken, or not even that."""
    pool, scheduled = spec.pool.name, condition(pod, "PodScheduled") or {}
    created = moment(pod["metadata"].get("creationTimestamp"))
    if scheduled.get("reason") != "Unschedulable":
        waited_s = snapshot.now - (created or snapshot.now)
        late = "the scheduler has not looked at it yet" if waited_s > NOBODY_ANSWERS_S else ""
        return Wait(
            rank=SCHEDULING,
            message=late or f"waits for a node of pool {pool}",
            since=created,
            allowed_s=DEADLINES.scheduler_s,
            fails_as=Reason.LAUNCH_FAILED,
        )
    since = moment(scheduled.get("lastTransitionTime")) or created
    waited_s = snapshot.now - (since or snapshot.now)
    sentence = _plain(str(scheduled.get("message") or ""))
    heard = any(event.get("reason") == "FailedScheduling" for event in snapshot.events_of(pod))
    if waited_s < min(NOBODY_ANSWERS_S, spec.pool.node_within_s):
        message = f"no node of pool {pool} has room yet ({sentence})"
        return Wait(rank=SCHEDULING, message=message, reason=Reason.NO_NODE, since=since)
    if heard and sentence and not _LACKS.search(sentence) and _ELSEWHERE.search(sentence):
        return Wait(
            rank=SCHEDULING,
            message=f"no node is of pool {pool}, and nothing makes one ({sentence})",
            reason=Reason.POOL_UNKNOWN,
            hint=_LABEL_HINT,
            since=since,
            allowed_s=DEADLINES.no_such_pool_s,
        )
    # Without their right to events nobody is heard, and pools of fixed size are queues.
    silent = heard and _may_grow(spec.pool)
    return Wait(
        rank=SCHEDULING,
        message=f"no node of pool {pool} has room, and nobody says to make one ({sentence})",
        reason=Reason.NO_NODE,
        hint=_NOBODY_HINT if silent else "",
        since=since,
        allowed_s=min(DEADLINES.no_answer_s, spec.pool.node_within_s) if silent else None,
    )


def _may_grow(pool: NodePool) -> bool:
    return pool.max_nodes is not None and pool.max_nodes > pool.min_nodes


def _never(reason: Reason, message: str, hint: str) -> Wait:
    return Wait(rank=SCHEDULING, message=message, reason=reason, hint=hint, allowed_s=0.0)


def _plain(text: str) -> str:
    """The scheduler's words without the count of all nodes and what it thought of preemption."""
    text = _ASIDE.sub("", text).removeprefix("pod didn't trigger scale-up:").lstrip()
    text = re.sub(r"^0/\d+ nodes are available: ", "", text)
    return text.strip(" .")[:_LONGEST]


def _ask_of(pod: Object, spec: ClusterSpec) -> MemberAsk:
    """The first is that of workers or a plain program; the last that of head and program."""
    asks = spec.member_asks
    return asks[0] if role(pod) == WORKER else asks[-1]


def _less_than(tier: HardwareTier, lacks: Sequence[str], pool: NodePool) -> Resources:
    """What a tier that fits may have: less of what was too little, as far as that is known."""
    asked = tier.resources
    cpu = asked.cpu_millis - (not lacks or "cpu" in lacks)
    memory = asked.memory_bytes - (not lacks or "memory" in lacks)
    return Resources(cpu, memory, asked.gpus - (pool.gpu_resource in lacks))


def _that_fits(spec: ClusterSpec, tier: HardwareTier, flag: str, room: Resources) -> str:
    """The largest tier of the pool that has room, and any of another pool that is as large."""
    others = [each for each in spec.choice if each.name != tier.name]
    fitting = [t for t in others if t.pool == tier.pool and t.resources.fits_in(room)]
    largest = max(
        fitting, key=lambda t: (t.resources.memory_bytes, t.resources.cpu_millis), default=None
    )
    elsewhere = next(
        (t for t in others if t.pool != tier.pool and tier.resources.fits_in(t.resources)), None
    )
    told = [
        f"{flag} {each.name} ({each.resources}{where})"
        for each, where in ((largest, ""), (elsewhere, " of another pool"))
        if each is not None
    ]
    return " or ".join(told) or "choose a smaller tier (ebb tiers)"
