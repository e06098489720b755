"""The Kubernetes platform's verbs: what is asked for is done at the API server, here and now.

There is no process of ours beside a job that owns its cluster: its Lease does. What must go on
while it lives is done by a tender, a thread of the process that renews the Lease (``tending``).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property, partial
from pathlib import Path

from ebbtide.infra.errors import Problem
from ebbtide.infra.files.kept import KeptFile
from ebbtide.infra.files.private import private_folder
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.hardware import Machines, NodePool
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import JobSpec, RunSpec
from ebbtide.infra.models.orders import Autoscale, Release, StartJob, StartProgram, StopProgram
from ebbtide.infra.models.phases import Phase, Reason, Step
from ebbtide.infra.models.records import Event, EventKind, Run, RunLimits
from ebbtide.infra.platforms.base import HeldResource, Login, LogStream
from ebbtide.infra.platforms.kubernetes.administration.weaknesses import weaknesses
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError, as_ebb_error, translated
from ebbtide.infra.platforms.kubernetes.clusters import declaring, holdings, packaging, releasing
from ebbtide.infra.platforms.kubernetes.clusters.blueprint import Blueprint
from ebbtide.infra.platforms.kubernetes.clusters.fencing import (
    Standing,
    claim,
    held_by_another,
    judged,
    looks_neglected,
)
from ebbtide.infra.platforms.kubernetes.clusters.quotas import in_turn
from ebbtide.infra.platforms.kubernetes.clusters.sightings import remembered
from ebbtide.infra.platforms.kubernetes.clusters.tearing_down import TearDown, tear_down
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.detached.keeping import fetched, held_flows
from ebbtide.infra.platforms.kubernetes.elsewhere.sources import (
    is_elsewhere,
    kept_elsewhere,
    logs_elsewhere,
    logs_here,
)
from ebbtide.infra.platforms.kubernetes.kinds import DEPLOYMENT, LEASE, POD, Object, kind_of
from ebbtide.infra.platforms.kubernetes.looking import Looking
from ebbtide.infra.platforms.kubernetes.manifests.templates import kept_in
from ebbtide.infra.platforms.kubernetes.naming import (
    BEGIN,
    driver_name,
    program_name,
)
from ebbtide.infra.platforms.kubernetes.nodes import machines_of
from ebbtide.infra.platforms.kubernetes.problems import problems_of
from ebbtide.infra.platforms.kubernetes.sessions import pages
from ebbtide.infra.platforms.kubernetes.tending.tenders import tended, tender_of
from ebbtide.infra.platforms.run_folder import ARTIFACTS, OUTPUT, PROGRAMS, kept_files
from ebbtide.infra.platforms.upkeep.stdin import handed_over, is_offered
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s


class KubernetesPlatform:
    """See ``infra.platforms.base.Platform``. One object a thread: it keeps a store open."""

    name = "kubernetes"

    def __init__(self, settings: Settings, store: RunStore | None = None):
        self.settings = settings
        self.store = store if store is not None else open_store(settings)

    @cached_property
    def api(self) -> Api:
        """The namespace; read from the credentials when it is first needed."""
        return connected(self.settings)

    @cached_property
    def _looking(self) -> Looking:
        return Looking(self.api, self.store, self.settings.runs)

    def problems(
        self, spec: RunSpec | None = None, environ: Mapping[str, str] = os.environ
    ) -> list[Problem]:
        """No way to the API server; a program that cannot be sent to a pod."""
        del environ
        return problems_of(self.settings, spec)

    def cluster_id(self, run: RunName, attempt: int) -> ClusterId:
        """Such as ``copper-heron-1``: a retry of the same attempt finds what is there."""
        return ClusterId(f"{run}-{attempt}")

    def declare(self, spec: RunSpec, attempt: int) -> ClusterId:
        """Make the Lease and all that it owns, head and first workers among it."""
        cluster = self.cluster_id(spec.name, attempt)
        known = self.store.cluster(cluster)
        if known is not None and (known.released or known.orders.release is not None):
            return cluster
        self.store.add_cluster(
            cluster,
            spec.name,
            attempt=attempt,
            pool=spec.cluster.pool.name,
            lease_s=spec.lease_s,
            limits=RunLimits.of(spec.cluster),
        )
        private_folder(self.settings.home, "runs", spec.name, OUTPUT)
        package = packaging.packed(self.settings, spec)
        digest = package.digest if package is not None else ""
        things = self._drawn(spec, cluster, digest).declared()
        if known is not None and self._looking.has(cluster, POD, driver_name(cluster)):
            return cluster  # it was made after them
        try:
            make = partial(declaring.declare, self.api, things)
            new = in_turn(self.api, self.store, cluster, make)
        except ApiError as failure:
            if known is None:  # else it is one that runs
                with contextlib.suppress(ApiError):
                    releasing.release(self.api, cluster)
            raise as_ebb_error(failure, doing="declare the cluster") from failure
        if new:
            self._tell_requested(spec, cluster)
            if attempt == 1:
                self._tell_what_is_weaker(spec)
            self._obey_release(cluster)
        return cluster

    def clusters(self, run: RunName) -> tuple[ClusterId, ...]:
        """From the records, which keep them as long as their run."""
        return tuple(self.store.clusters_of(run))

    def attach_autoscaler(self, cluster: ClusterId) -> None:
        """Make the HPA."""
        self.store.order(cluster, Autoscale())
        blueprint = self._blueprint(cluster)
        if blueprint is not None and blueprint.scales:
            self._add(cluster, blueprint.autoscaler())

    def attach_stdin(self, run: RunName, stdin: int) -> AbstractContextManager[None]:
        """The process that drives the run takes the file from this one, and copies it."""
        return handed_over(private_folder(self.settings.home, "runs", run), stdin)

    def start_job(self, cluster: ClusterId, *, then_release: bool = False) -> None:
        """Make the driver's pod, or tell that of a plain program to begin."""
        self.store.order(cluster, StartJob(then_release=then_release))
        blueprint = self._blueprint(cluster)
        if blueprint is None or blueprint.spec.job is None:
            return
        has_stdin = is_offered(self.settings.run_folder(blueprint.spec.name))
        begin = {BEGIN: "stdin" if has_stdin else "plain"}
        if blueprint.framework is not None:
            driver = blueprint.driver(told_to_begin=has_stdin)
            driver["metadata"]["annotations"].update(begin if has_stdin else {})
            self._add(cluster, driver)
            return
        self._add(cluster, blueprint.driver(told_to_begin=True))
        with translated("tell the program to begin"):
            self.api.merge(POD, driver_name(cluster), {"metadata": {"annotations": begin}})

    def start_program(self, cluster: ClusterId, name: str, job: JobSpec) -> None:
        """Make a driver's pod for it."""
        self.store.order(cluster, StartProgram(name=name, job=job))
        blueprint = self._blueprint(cluster)
        if blueprint is not None:
            run = blueprint.spec.name
            private_folder(self.settings.home, "runs", run, PROGRAMS, name, OUTPUT)
            package = packaging.packed_program(self.settings, run, name, job)
            digest = package.digest if package is not None else ""
            self._add(cluster, blueprint.program(name, job, digest))

    def stop_program(self, cluster: ClusterId, name: str) -> None:
        """Delete its pod, which gets SIGTERM first."""
        self.store.order(cluster, StopProgram(name=name))
        with translated("stop the program"):
            pod = program_name(cluster, name)
            releasing.end_program(self.api, pod, Reason.CANCELLED)

    def repeat(self, cluster: ClusterId, step: Step) -> None:
        """Delete the pods that failed, and make them again."""
        blueprint = self._blueprint(cluster)
        if blueprint is None or not self.claim(cluster):
            return
        with translated(f"repeat {step}"):
            releasing.delete_failed(self.api, cluster)
            declaring.declare(self.api, blueprint.declared())

    def release(self, cluster: ClusterId, reason: Reason | None, *, at_once: bool = False) -> None:
        """Bring back what the program left, delete everything, and record it when it is gone."""
        known = self.store.cluster(cluster)
        if known is None or known.released:
            return
        self.store.order(cluster, Release(reason=reason, at_once=at_once, at=wall_s()))
        tender = tender_of(cluster)
        collect = tender.collect if tender is not None else None
        how = TearDown(reason=reason, by="flow", at_once=at_once, collect=collect)
        tear_down(self.api, self.store, known, how)
        pages.forget(self.settings, cluster)
        self._looking.let_go(cluster)

    def observe(self, cluster: ClusterId) -> ClusterView | None:
        """What the API server has of it; after its release, what was recorded last."""
        with translated("look at the cluster"):
            return self._looking.now(cluster)

    def watch(
        self, cluster: ClusterId, seen: ClusterView | None, timeout_s: float
    ) -> ClusterView | None:
        """Told by the API server's watches: no question is asked while nothing changes."""
        with translated("watch the cluster"):
            return self._looking.until_it_differs(cluster, seen, timeout_s)

    def reap(self, cluster: ClusterId) -> bool:
        """When its Lease has stayed unchanged for its duration, on our own clock.

        Never one that this process tends: a renewal of ours that cannot be written, because the API
        server is away, is no sign that nobody wants it.
        """
        if tender_of(cluster) is not None:
            return False
        with translated("look whether somebody wants the cluster"):
            if not self._looking.expired(cluster):
                return False
        return not self.sweep(cluster)

    def login(self, cluster: ClusterId) -> Login | None:
        """From the cluster's Secret; a copy for the browser is kept in a private folder here."""
        if self._plain(cluster):
            return None
        return pages.login(self.settings, self.api, cluster)

    def page(self, view: ClusterView) -> AbstractContextManager[str]:
        """By a port of loopback, through the API server."""
        return pages.page(self.api, view)

    def renew(self, cluster: ClusterId, lease_s: float | None = None) -> bool:
        """Write to the Lease that somebody still wants it."""
        return self.store.renew(cluster, lease_s)

    def claim(self, cluster: ClusterId) -> bool:
        """By the Lease's holder."""
        with translated("ask who drives the cluster"):
            return claim(self.api, cluster) is not Standing.FOLLOWS

    def tended(self, cluster: ClusterId) -> AbstractContextManager[None]:
        """By a thread of this process."""
        return tended(self.settings, cluster)

    def held(self, cluster: ClusterId | None = None) -> list[HeldResource]:
        """Found by label, whatever the records say."""
        known = self.store.cluster(cluster) if cluster is not None else None
        released = known is not None and known.released
        with translated("list what is held"):
            flows = held_flows(self.api, wall_s()) if cluster is None else []
            return [*holdings.held(self.api, cluster, wall_s(), released=released), *flows]

    def orphans(self) -> tuple[ClusterId, ...]:
        """Those whose Lease is gone, or as commands of this machine have seen it has expired."""
        with translated("look for orphans"):
            # The rest costs nothing, and goes by itself. What is made meanwhile has an older Lease.
            present = holdings.present(self.api, (POD, DEPLOYMENT))
            leased = {
                ClusterId(lease["metadata"]["name"]): lease
                for lease in holdings.found(self.api, None, (LEASE,))
            }
        with remembered(self.settings.home):
            lost = {cluster for cluster in leased if judged(leased[cluster])}
        return tuple(sorted(lost | (present - leased.keys())))

    def neglected(self) -> tuple[ClusterId, ...]:
        """By when the API server says that their Leases were written last."""
        with translated("look for orphans"):
            leases = holdings.found(self.api, None, (LEASE,))
        now = wall_s() + self.api.ahead_s
        names = (each["metadata"]["name"] for each in leases if looks_neglected(each, now))
        return tuple(sorted(map(ClusterId, names)))

    def sweep(self, cluster: ClusterId) -> list[HeldResource]:
        """Delete it all here and now, and say so in the records."""
        known = self.store.cluster(cluster)
        order = known.orders.release if known is not None else None
        reason = (order.reason if order else None) or Reason.LEASE_LAPSED
        if known is not None and not known.released:
            self.store.order(cluster, Release(reason=reason, at_once=True, at=wall_s()))
            how = TearDown(reason=reason, by="reaper", at_once=True)
            gone = tear_down(self.api, self.store, known, how)
        else:
            with translated("release what nobody owns"):
                gone = releasing.release_unowned(self.api, cluster)
        return [] if gone else self.held(cluster)

    def logs(self, run: RunName, source: str) -> Mapping[str, LogStream]:
        """From the run's folder, into which the tender copies them; of others, from their pods."""
        known = self._elsewhere(run)
        if known is not None:
            with translated(f"read the logs of {run}"):
                return logs_elsewhere(self.api, self.store, known, source)
        return logs_here(self.api, self.store, self.settings, run, source)

    def fetch_output(self, run: RunName) -> Path:
        """Fetched before the release."""
        return self.settings.run_folder(run) / OUTPUT

    def fetch_artifacts(self, run: RunName) -> Path:
        """Fetched before the release."""
        return self.settings.run_folder(run) / ARTIFACTS

    def kept(self, run: RunName) -> tuple[KeptFile, ...]:
        """From the run's folder; of one begun elsewhere, as its records name it."""
        known = self._elsewhere(run)
        if known is not None:
            with translated(f"list what {run} has left"):
                return kept_elsewhere(self.api, self.store, known)
        return tuple(kept_files(self.settings.run_folder(run)))

    def machines(self, pools: Sequence[NodePool]) -> Machines:
        """Nodes with the pools' labels, and pods; as far as these credentials may list them."""
        with translated("list nodes and pods"):
            return machines_of(self.api, pools)

    def _elsewhere(self, run: RunName) -> Run | None:
        """The run, when what it leaves is brought to another machine; what is kept comes here."""
        known = self.store.run(run)
        if known is None or not is_elsewhere(self.settings, known):
            return None
        return None if fetched(self.api, self.settings, known) else known

    def _blueprint(self, cluster: ClusterId) -> Blueprint | None:
        spec = self._looking.spec(cluster)
        if spec is None:
            return None
        package = packaging.packed(self.settings, spec)
        digest = package.digest if package is not None else ""
        return self._drawn(spec, cluster, digest)

    def _drawn(self, spec: RunSpec, cluster: ClusterId, digest: str) -> Blueprint:
        templates = kept_in(self.settings.home)
        return Blueprint.of(spec, cluster, self.api.namespace, digest, templates=templates)

    def _add(self, cluster: ClusterId, thing: Object) -> None:
        """Make one more object of a cluster; nothing of one that is gone, or another drives."""
        if self._is_there(cluster, thing):
            return
        with translated(f"make {thing['kind']} {thing['metadata']['name']}"):
            lease = self._looking.lease(cluster)
            if lease is not None and not held_by_another(lease):
                make = partial(declaring.add, self.api, lease, thing)
                in_turn(self.api, self.store, cluster, make)

    def _obey_release(self, cluster: ClusterId) -> None:
        """Somebody may have stopped the run in the moment in which its cluster was made."""
        known = self.store.cluster(cluster)
        order = known.orders.release if known is not None else None
        if known is not None and order is not None:
            tear_down(self.api, self.store, known, TearDown(reason=order.reason, by="flow"))

    def _is_there(self, cluster: ClusterId, thing: Object) -> bool:
        return self._looking.has(cluster, kind_of(thing), thing["metadata"]["name"])

    def _tell_what_is_weaker(self, spec: RunSpec) -> None:
        """In one line each, such as where nobody reaps this namespace."""
        with contextlib.suppress(ApiError):
            for message in weaknesses(self.api, spec):
                self.store.append(Event(run=spec.name, kind=EventKind.WARNING, message=message))

    def _plain(self, cluster: ClusterId) -> bool:
        spec = self._looking.spec(cluster)
        return spec is None or not spec.cluster.has_workers

    def _tell_requested(self, spec: RunSpec, cluster: ClusterId) -> None:
        fits = f"{spec.cluster.tier.name} fits pool {spec.cluster.pool.name}"
        self.store.set_phase(spec.name, Phase.PROVISIONING)
        self.store.append(
            Event(
                run=spec.name,
                cluster=cluster,
                kind=EventKind.STEP_DONE,
                step=Step.REQUEST_HARDWARE_TIER,
                message=fits + packaging.commit_note(self.settings, spec.name),
            )
        )
