"""The order of things: ``python -m tests.kubernetes.lab.pools.controller LAB-FOLDER``.

A tick a second moves the cloud (nodes appear, nodes become ready) and reads the orders; a scan, as
often as the timers say, decides as Cluster Autoscaler would. What is pure is decided elsewhere.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kubernetes import client, config
from urllib3.exceptions import HTTPError

from tests.kubernetes.lab import simulated
from tests.kubernetes.lab.pools import cluster, fit, grow, shrink, values, words
from tests.kubernetes.lab.pools.cloud import Cloud
from tests.kubernetes.lab.pools.cluster import SELF, Cluster, Subject
from tests.kubernetes.lab.pools.grow import Backoff
from tests.kubernetes.lab.pools.shrink import Past
from tests.kubernetes.lab.pools.values import CANDIDATE, DELETION, Node, Pod, Pool, Timers

_TICK_S = 1.0
_TIMED_OUT = "timeout"
_WARNINGS = ("ScaleUpFailed", "ScaleUpTimedOut", "ScaleDownFailed")


@dataclass(frozen=True, slots=True)
class Leaving:
    """A node that is on its way out."""

    since: float
    drained: bool
    """Whether pods had to move."""


@dataclass(slots=True)
class Controller:
    """One Cluster Autoscaler; ``now`` is always in seconds since the epoch."""

    cluster: Cluster
    cloud: Cloud = field(default_factory=Cloud)
    pools: list[Pool] = field(default_factory=list)
    timers: Timers = field(default_factory=Timers)
    backoffs: dict[str, Backoff] = field(default_factory=dict)
    unneeded: dict[str, float] = field(default_factory=dict)
    leaving: dict[str, Leaving] = field(default_factory=dict)
    past: Past = field(default_factory=Past)
    _said: dict[tuple[Subject, str, str], float] = field(default_factory=dict)
    _scanned_at: float = 0
    _status: str = ""

    def tick(self, now: float) -> None:
        """Once a second, or sooner when scans are more frequent."""
        pools, timers = self.cluster.orders()
        changed = (pools, timers) != (self.pools, self.timers)
        ours = bool(pools or self.cloud.machines)
        self.pools, self.timers = pools, timers
        for machine in self.cloud.registering(now):
            pool = next((pool for pool in pools if pool.name == machine.pool), None)
            if pool is not None:
                self.cluster.register(pool, machine.name, machine.ready_at)
                machine.registered = True
        for machine in self.cloud.booted(now):
            self.cluster.ready(machine.name, now)
        if ours and (changed or now - self._scanned_at >= timers.scan_s):
            self._scanned_at = now
            self.scan(now)

    def scan(self, now: float) -> None:
        """Look at everything, and decide."""
        nodes, pods = self.cluster.nodes(), self.cluster.pods()
        self._take_stock(nodes, now)
        self._see_failures(now)
        by_node: dict[str, list[Pod]] = {}
        for pod in pods:
            by_node.setdefault(pod.node, []).append(pod)
        self._grow([pod for pod in pods if pod.pending and _ours(pod)], nodes, by_node, now)
        self._shrink(nodes, by_node, now)
        self._remove(nodes, by_node, now)
        self._tell(nodes, now)

    def _take_stock(self, nodes: Sequence[Node], now: float) -> None:
        """Machines and nodes are one thing: who has lost the other goes too."""
        names, wanted = {node.name for node in nodes}, {pool.name for pool in self.pools}
        every = list(self.cloud.machines.values())
        self.cloud.forget([m for m in every if m.registered and m.name not in names])
        self.cloud.forget([m for m in every if m.pool not in wanted])
        self.backoffs = {name: each for name, each in self.backoffs.items() if name in wanted}
        for node in nodes:
            if node.pool and node.pool not in wanted:
                self.cluster.delete(node.name)
            elif node.pool:
                ready_at = float(node.annotations.get(values.READY_AT, now))
                machine = self.cloud.adopt(node.name, node.pool, ready_at, node.ready)
                if node.ready and not machine.ready:
                    machine.ready = True
                    self.backoffs.pop(node.pool, None)
        for pool in self.pools:
            self.cloud.order(pool, pool.least - len(self.cloud.of(pool.name)), now)

    def _see_failures(self, now: float) -> None:
        """Refused and late machines: the order is taken back, and the pool is left alone."""
        for pool in self.pools:
            refused = self.cloud.refused(pool.name)
            late = self.cloud.late(pool.name, self.timers.provision_s, now)
            if refused:
                code = refused[0].error
                why = f"Instance '{refused[0].name}' creation failed: {code}"
                self._say(SELF, "ScaleUpFailed", words.failed(pool, len(refused), code, why), now)
                self._leave_alone(pool, code, why, now)
            elif late:
                after = f"{now - late[0].ordered_at:.0f}s"
                said = f"Nodes added to group {pool.name} failed to register within {after}"
                self._say(SELF, "ScaleUpTimedOut", said, now)
                why = f"Scale-up timed out for node group {pool.name} after {after}"
                self._leave_alone(pool, _TIMED_OUT, why, now)
            for machine in late:
                self.cluster.delete(machine.name)
            self.cloud.forget([*refused, *late])

    def _leave_alone(self, pool: Pool, code: str, why: str, now: float) -> None:
        before = self.backoffs.get(pool.name)
        self.backoffs[pool.name] = grow.back_off(before, self.timers, now, code, why)

    def _backed_off(self, now: float) -> dict[str, Backoff]:
        return {name: each for name, each in self.backoffs.items() if each.until > now}

    def _grow(
        self,
        pending: Sequence[Pod],
        nodes: Sequence[Node],
        by_node: dict[str, list[Pod]],
        now: float,
    ) -> None:
        """Order nodes for pods that find no room; those that find some count as being there."""
        rooms = [
            fit.room_on(node, by_node.get(node.name, ())) for node in nodes if fit.usable(node)
        ]
        for pool in self.pools:
            rooms += [fit.template(pool) for _ in self.cloud.upcoming(pool.name)]
        waiting, placed = grow.place(pending, rooms)
        for name, pods in placed.items():
            by_node.setdefault(name, []).extend(pods)
        targets = {pool.name: len(self.cloud.of(pool.name)) for pool in self.pools}
        plan = grow.plan(waiting, self.pools, targets, self._backed_off(now))
        if plan.growth is not None:
            self._say(SELF, "ScaledUpGroup", words.group_grows(plan.growth), now)
            self.cloud.order(plan.growth.pool, plan.growth.by, now)
            self._say(SELF, "ScaledUpGroup", words.group_grew(plan.growth), now)
            self.past = replace(self.past, grew_at=now)
            for pod in plan.growth.pods:
                said = words.triggered(plan.growth)
                self._say(cluster.of_pod(pod), "TriggeredScaleUp", said, now)
        for pod, reasons in plan.refused:
            said = words.not_triggered(reasons)
            self._say(cluster.of_pod(pod), "NotTriggerScaleUp", said, now)

    def _shrink(
        self, nodes: Sequence[Node], by_node: Mapping[str, Sequence[Pod]], now: float
    ) -> None:
        """Mark nodes that are not needed; those that were not for long enough begin to leave."""
        ready = {name for name, machine in self.cloud.machines.items() if machine.ready}
        booted = [node for node in nodes if not node.pool or node.name in ready]
        names = shrink.unneeded(booted, by_node, self.timers)
        self.unneeded = shrink.since(self.unneeded, names, now)
        for node in booted:
            if node.name in names:
                self.cluster.taint(node, CANDIDATE, "PreferNoSchedule", now)
            elif node.marked(CANDIDATE) and not node.marked(DELETION):
                self.cluster.untaint(node, CANDIDATE)
        due = shrink.due(booted, self.unneeded, self.pools, self.timers, self.past, now)
        occupied = {name for name, pods in by_node.items() if shrink.moving(pods)}
        draining = any(each.drained for each in self.leaving.values())
        for node in shrink.one_drain(due, occupied, draining):
            pods = shrink.moving(by_node.get(node.name, ()))
            self.leaving[node.name] = Leaving(now, bool(pods))
            reason = "ScaleDown" if pods else "ScaleDownEmpty"
            self._say(SELF, reason, words.removing(node, pods), now)
            self.cluster.taint(node, DELETION, "NoSchedule", now)
            said = "marked the node as toBeDeleted/unschedulable"
            self._say(cluster.of_node(node), "ScaleDown", said, now)

    def _remove(
        self, nodes: Sequence[Node], by_node: Mapping[str, Sequence[Pod]], now: float
    ) -> None:
        """Evict, wait, delete: what the nodes on their way out need next."""
        names = {node.name for node in nodes}
        self.leaving = {name: each for name, each in self.leaving.items() if name in names}
        for node in nodes:
            # One that only now was marked has its pods evicted at the next scan.
            if not node.marked(DELETION) or node.name not in self.cloud.machines:
                continue
            pods = shrink.holding(by_node.get(node.name, ()))
            state = self.leaving.setdefault(node.name, Leaving(now, bool(pods)))
            for pod in shrink.moving(pods):
                said = "deleting pod for node scale down"
                self._say(cluster.of_pod(pod), "ScaleDown", said, now)
                self.cluster.evict(pod)
            if not pods and now - state.since >= self.timers.after_taint_s:
                self._delete(node, state, now)
            elif pods and now - state.since >= self.timers.drain_s:
                self._abort(node, now)

    def _delete(self, node: Node, state: Leaving, now: float) -> None:
        self.cluster.delete(node.name)
        self.cloud.forget([self.cloud.machines[node.name]])
        del self.leaving[node.name]
        self._say(cluster.of_node(node), "ScaleDown", "node removed by cluster autoscaler", now)
        reason = "ScaleDown" if state.drained else "ScaleDownEmpty"
        self._say(SELF, reason, words.removed(node.name, state.drained), now)

    def _abort(self, node: Node, now: float) -> None:
        """Its pods do not go: the node stays after all."""
        self.cluster.untaint(node, DELETION)
        del self.leaving[node.name]
        self.past = replace(self.past, failed_at=now)
        said = "failed to drain the node, aborting ScaleDown"
        self._say(cluster.of_node(node), "ScaleDownFailed", said, now)

    def _tell(self, nodes: Sequence[Node], now: float) -> None:
        groups = []
        for pool in self.pools:
            machines = self.cloud.of(pool.name)
            mine = [node for node in nodes if node.name in {each.name for each in machines}]
            booting = {each.name for each in self.cloud.upcoming(pool.name)}
            group = words.Group(
                pool=pool,
                target=len(machines),
                registered=len(mine),
                ready=sum(node.ready for node in mine),
                starting=sum(node.name in booting for node in mine),
                candidates=sum(node.name in self.unneeded for node in mine),
                backoff=self._backed_off(now).get(pool.name),
            )
            groups.append(group)
        self._status = words.status(groups, now, self._status)
        self.cluster.tell(self._status, now)

    def _say(self, about: Subject, reason: str, message: str, now: float) -> None:
        """An event; the same is not repeated for a while."""
        key = (about, reason, message)
        if now - self._said.get(key, float("-inf")) >= self.timers.repeat_s:
            self._said[key] = now
            self.cluster.say(about, "Warning" if reason in _WARNINGS else "Normal", reason, message)


def _ours(pod: Pod) -> bool:
    """Whether Karpenter leaves it to us."""
    keys = {each["key"] for term in pod.terms for each in term.get("matchExpressions", ())}
    return simulated.POOL_LABEL not in {*pod.selector, *keys}


def main(folder: Path) -> None:
    """Go on until ended; what the API server refuses or does not answer is tried again."""
    with config.new_client_from_config(str(folder / "keys" / "simulator.kubeconfig")) as api:
        controller, clock = Controller(Cluster(api)), threading.Event()
        while True:
            try:
                controller.tick(time.time())
            except (client.ApiException, HTTPError, OSError):
                traceback.print_exc()
            clock.wait(min(_TICK_S, controller.timers.scan_s))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
