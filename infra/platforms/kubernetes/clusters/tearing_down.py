"""Step 7 as whoever does it: told, in the right order, and recorded when nothing is left."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.phases import Phase, Reason, Step
from ebbtide.infra.models.records import Cluster, Event, EventKind
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import translated
from ebbtide.infra.platforms.kubernetes.clusters import releasing
from ebbtide.infra.platforms.kubernetes.clusters.holdings import found
from ebbtide.infra.platforms.kubernetes.clusters.stranded import Stay
from ebbtide.infra.platforms.kubernetes.kinds import POD
from ebbtide.infra.platforms.kubernetes.naming import ROLE, driver_name
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.waiting import now_s

_lock = threading.Lock()
_turns: dict[ClusterId, threading.Lock] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class TearDown:
    """How a cluster is given back."""

    reason: Reason | None
    """None when all went well."""
    by: str
    """Who does it: flow, reaper."""
    at_once: bool = False
    """Whether a program that runs has no time to end by itself."""
    collect: Callable[[], None] | None = None
    """Brings back what pods have, when the program has ended and they are still there."""


def tear_down(api: Api, store: RunStore, known: Cluster, how: TearDown) -> bool:
    """Give a cluster back, and record that nothing is left of it.

    Args:
        api: of its namespace.
        store: with its run; used in this thread.
        known: the cluster as it is recorded.
        how: why, by whom, how quickly.

    Returns:
        Whether nothing is left that could be ended.

    Raises:
        EbbError: the API server refused, or was away for too long.
    """
    with _turn(known.id):
        now = store.cluster(known.id)
        if now is not None and now.released:
            return True
        return _tear_down(api, store, known, how)


def _tear_down(api: Api, store: RunStore, known: Cluster, how: TearDown) -> bool:
    began_s, cluster = now_s(), known.id
    with translated("give the cluster back"):
        releasing.mark(api, cluster, how.reason)
        store.set_phase(known.run, Phase.RELEASING)
        reason = how.reason or Reason.CANCELLED
        releasing.end_program(api, driver_name(cluster), reason, at_once=how.at_once)
        if how.collect is not None:
            how.collect()
        members = _members(api, cluster)
        left = releasing.release(api, cluster, lambda why: store.append(_waits(known, why)))
    for pod, stay in left.stays.items():
        store.append(_stays(known, pod, stay))
    if left.gone and store.mark_released(cluster, by=how.by, reason=how.reason):
        took_s = round(now_s() - began_s, 2)
        store.append(
            Event(
                run=known.run,
                cluster=cluster,
                kind=EventKind.STEP_DONE,
                step=Step.TEAR_DOWN,
                message=members,
                data={"took_s": took_s},
            )
        )
    return left.gone


def _stays(known: Cluster, pod: str, stay: Stay) -> Event:
    """What is left, and when it goes."""
    message, kind = f"{pod} stays {stay.where}, {stay.until}", EventKind.WARNING
    return Event(run=known.run, cluster=known.id, kind=kind, message=message, reason=stay.reason)


def _waits(known: Cluster, why: str) -> Event:
    """What its release waits for."""
    return Event(run=known.run, cluster=known.id, kind=EventKind.NOTE, message=why)


@contextlib.contextmanager
def _turn(cluster: ClusterId) -> Iterator[None]:
    """One thread of this process at a time: flow and tender may both want it."""
    with _lock:
        mine = _turns.setdefault(cluster, threading.Lock())
    with mine:
        yield


def _members(api: Api, cluster: ClusterId) -> str:
    """What is given back, in words."""
    roles = [pod["metadata"]["labels"].get(ROLE) for pod in found(api, cluster, (POD,))]
    workers = roles.count("worker")
    parts = [
        "head" if "head" in roles else "",
        f"{workers} worker{'s' * (workers != 1)}" if "head" in roles else "",
        "the program" if "driver" in roles else "",
    ]
    return ", ".join(filter(None, parts)) or "what was left of it"
