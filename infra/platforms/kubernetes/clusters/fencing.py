"""Who drives a cluster: the holder of its Lease. Of several flow processes exactly one.

The holder and the generation (``leaseTransitions``) change by compare-and-set only. Whoever is not
the holder watches; it also says in the Lease that it waits, so that nobody releases a cluster that
has a successor. All is judged on this process's own clock, never by comparing two machines'.
"""

from __future__ import annotations

import hashlib
import math
import os
import socket
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum, auto
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import NOT_FOUND, ApiError
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.kinds import LEASE, Object
from ebbtide.infra.platforms.kubernetes.naming import AWAITED
from ebbtide.infra.platforms.kubernetes.spelling import unix_time
from ebbtide.infra.policy.lease import LONGEST_S, LeaseJudge
from ebbtide.infra.processes.identity import alive, started_ticks
from ebbtide.infra.waiting import now_s, wall_s

_TRIES = 5
"""Others may write the Lease at the same moment; each try begins with what they wrote."""
_NEGLECTED = 3
"""So many durations after its last renewal a Lease looks as if its holder were dead."""
_RESIGNING_S = 2.0
"""Somebody may wait for the end of this process."""
_MERGE = "application/merge-patch+json"
_GAP = 0.5
"""Of a duration: so much counts a time in which nothing was read. After an outage of the API server
the holder has the other half to renew the Lease."""
_judges: dict[tuple[str, bool], LeaseJudge] = {}
"""By the Lease's uid, and whether it is only about the holder."""
_versions: WeakKeyDictionary[Api, dict[tuple[ClusterId, str], str]] = WeakKeyDictionary()
"""By cluster and holder: the version of the Lease when this process wrote it last as that."""
_lock = threading.Lock()


class Standing(StrEnum):
    """What a flow process is to a cluster."""

    DRIVES = auto()
    FOLLOWS = auto()
    """Another one that lives drives it."""
    GONE = auto()
    """There is no Lease, or it is being deleted."""


def me() -> str:
    """This process as a Lease names it: machine, number and start, and whose numbers they are."""
    return _named(os.getpid())


@lru_cache(maxsize=1)
def _named(pid: int) -> str:
    return f"{socket.gethostname()}_{pid}_{started_ticks(pid)}_{_numbering()}"


@lru_cache(maxsize=1)
def _numbering() -> str:
    """Tells apart where the number of a process means another one: machine, boot, container."""
    parts = [socket.gethostname(), os.readlink("/proc/self/ns/pid")]
    parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def holder_of(lease: Object) -> str:
    """Return who holds a Lease; empty when nobody does."""
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def held_by_another(lease: Object, who: str = "") -> bool:
    """Whether a Lease is somebody else's who lives, as far as this process can tell.

    Args:
        lease: as just read.
        who: who asks; empty: this process.
    """
    holder = holder_of(lease)
    return bool(holder) and holder != (who or me()) and not _left(lease)


def judged(lease: Object) -> bool:
    """Whether a Lease has stayed unchanged for its duration since this process first saw it so.

    Args:
        lease: as just read.

    Returns:
        Whether it has expired: nobody renews it, and nobody waits for it. Never what this process
        holds itself: it lives.
    """
    if holder_of(lease) == me():
        return False
    awaited = (lease["metadata"].get("annotations") or {}).get(AWAITED)
    return _unchanged(lease, (*_written(lease), awaited), holder_only=False)


def looks_neglected(lease: Object, servers_now: float) -> bool:
    """Whether nobody seems to have written a Lease for long. For showing, not for releasing.

    Compares no two machines' clocks: the API server itself notes when each manager last wrote an
    object, and says in each answer what time it is.

    Args:
        lease: as just read.
        servers_now: Unix time in seconds by the API server's clock.
    """
    spec, metadata = lease.get("spec") or {}, lease["metadata"]
    times = [each["time"] for each in metadata.get("managedFields") or () if each.get("time")]
    if not times:
        return False
    written = max(map(unix_time, times))
    return servers_now - written > _NEGLECTED * float(spec.get("leaseDurationSeconds") or LONGEST_S)


def judge_anew() -> None:
    """Begin to judge again all Leases: the API server was away, and nobody could renew them."""
    with _lock:
        _judges.clear()


def seen_so_far() -> dict[str, LeaseJudge]:
    """Return what this process has seen of Leases, by their uids."""
    with _lock:
        return {uid: judge for (uid, holder_only), judge in _judges.items() if not holder_only}


def recall(seen: Mapping[str, LeaseJudge]) -> None:
    """Go on from what an earlier process of this machine has seen of Leases.

    Args:
        seen: as ``seen_so_far`` had it. What this process has seen itself counts more.
    """
    with _lock:
        for uid, judge in seen.items():
            _judges.setdefault((uid, False), replace(judge, gap=_GAP))


def claim(api: Api, cluster: ClusterId, lease_s: float | None = None, *, who: str = "") -> Standing:
    """Hold a Lease, or go on holding it, unless another process does that lives.

    Args:
        api: of its namespace.
        cluster: its id.
        lease_s: how long it lasts from now on without a renewal; None: as long as before.
        who: for whom; empty: for this process.

    Returns:
        What this process is now. One that follows has written into the Lease that it waits.

    Raises:
        ApiError: the API server refused, or was away for too long.
    """
    who = who or me()
    known = _known(api, cluster, who)
    if known is not None and _renewed(api, cluster, known, lease_s, who):
        return Standing.DRIVES
    for _ in range(_TRIES):
        lease = api.get(LEASE, cluster)
        if lease is None or lease["metadata"].get("deletionTimestamp"):
            return Standing.GONE
        if held_by_another(lease, who):
            waits = {"metadata": {"annotations": {AWAITED: f"{who} {_micro_time()}"}}}
            api.merge(LEASE, cluster, waits)
            return Standing.FOLLOWS
        if _written_by(api, lease, lease_s, who):
            return Standing.DRIVES
    return Standing.FOLLOWS


def resign(api: Api, cluster: ClusterId, *, who: str = "") -> None:
    """Let go of a Lease that goes on, so that whoever comes next need not wait until it expires.

    Args:
        api: of its namespace.
        cluster: its id.
        who: its holder; empty: this process.

    Raises:
        ApiError: the API server refused, or was away for too long.
    """
    path, who = LEASE.path(api.namespace, cluster), who or me()
    try:
        lease = api.ask(Request(path=path), patience_s=_RESIGNING_S)
        if holder_of(lease) != who:
            return
        same = {"resourceVersion": _version(lease)}
        body = {"metadata": same, "spec": {"holderIdentity": None}}
        request = Request(method="PATCH", path=path, body=body, content_type=_MERGE)
        api.ask(request, patience_s=_RESIGNING_S)
    except ApiError as error:
        if not (error.conflict or error.status == NOT_FOUND):
            raise


def namespace_gone(api: Api) -> bool:
    """Whether nothing can be made any more because the namespace is missing or being deleted.

    Lists of a namespace that is gone are empty, and are no error.

    Args:
        api: of the namespace.

    Returns:
        False also where that cannot be asked.
    """
    probe = {"apiVersion": LEASE.api, "kind": LEASE.name, "metadata": {"name": "ebb-probe"}}
    path, query = LEASE.path(api.namespace), {"dryRun": "All"}
    try:
        api.ask(Request(method="POST", path=path, query=query, body=probe))
    except ApiError as error:
        return error.namespace_gone
    return False


def _known(api: Api, cluster: ClusterId, who: str) -> str | None:
    """The version of the Lease that this process wrote last, as its holder."""
    with _lock:
        return _versions.get(api, {}).get((cluster, who))


def _renewed(api: Api, cluster: ClusterId, version: str, lease_s: float | None, who: str) -> bool:
    """One request, as long as nobody else writes the Lease."""
    return _remembered(api, _patched(api, cluster, version, _renewal(lease_s)), who)


def _written_by(api: Api, lease: Object, lease_s: float | None, who: str) -> bool:
    """Whether nobody was quicker in taking or renewing it."""
    change = _renewal(lease_s)
    if holder_of(lease) != who:
        transitions = int((lease.get("spec") or {}).get("leaseTransitions") or 0) + 1
        change |= {"holderIdentity": who, "leaseTransitions": transitions}
        change |= {"acquireTime": change["renewTime"]}
    made = _patched(api, ClusterId(lease["metadata"]["name"]), _version(lease), change)
    return _remembered(api, made, who)


def _patched(api: Api, cluster: ClusterId, version: str, change: Object) -> Object | None:
    """The Lease; None when somebody else was quicker, or it is gone."""
    try:
        return api.merge(LEASE, cluster, {"metadata": {"resourceVersion": version}, "spec": change})
    except ApiError as error:
        if error.conflict:
            return None
        raise


def _remembered(api: Api, lease: Object | None, who: str) -> bool:
    if lease is None or lease["metadata"].get("deletionTimestamp"):
        return False
    with _lock:
        written = _versions.setdefault(api, {})
        written[ClusterId(lease["metadata"]["name"]), who] = _version(lease)
    return True


def _renewal(lease_s: float | None) -> Object:
    change: Object = {"renewTime": _micro_time()}
    if lease_s is not None:
        change["leaseDurationSeconds"] = max(1, math.ceil(lease_s))
    return change


def _left(lease: Object) -> bool:
    """Whether the holder is known to be dead: on this machine, or by its silence."""
    parts = holder_of(lease).rsplit("_", 3)
    if len(parts) == 4 and parts[3] == _numbering() and not alive(int(parts[1]), float(parts[2])):
        return True
    return _unchanged(lease, _written(lease), holder_only=True)


def _written(lease: Object) -> tuple[Any, ...]:
    spec = lease.get("spec") or {}
    return spec.get("renewTime"), spec.get("holderIdentity"), spec.get("leaseTransitions")


def _unchanged(lease: Object, written: tuple[Any, ...], *, holder_only: bool) -> bool:
    spec, uid = lease.get("spec") or {}, lease["metadata"]["uid"]
    duration_s = min(float(spec.get("leaseDurationSeconds") or 0), LONGEST_S)
    with _lock:
        judge = _judges.setdefault((uid, holder_only), LeaseJudge(duration_s, gap=_GAP))
        judge.agree(duration_s)
        return judge.expired(_number(written), now_s())


def _number(written: tuple[Any, ...]) -> int:
    """The same in every process, as ``hash`` is not."""
    return int.from_bytes(hashlib.sha256(repr(written).encode()).digest()[:6])


def _version(lease: Object) -> str:
    return str(lease["metadata"]["resourceVersion"])


def _micro_time() -> str:
    return datetime.fromtimestamp(wall_s(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
