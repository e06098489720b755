"""Hands a run over to a flow in the namespace: what the machine does that begins it.

The Job ends by itself until its pod has taken over, so that nothing stays when this machine is gone
in between.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ebbtide.infra.errors import JobError, ProvisioningError
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import format_duration
from ebbtide.infra.platforms.extras import Finding, FlowMaker, FlowOrder
from ebbtide.infra.platforms.kubernetes.administration.checks import FLOW, flow
from ebbtide.infra.platforms.kubernetes.api_error import ApiError, translated
from ebbtide.infra.platforms.kubernetes.clusters.packaging import is_in_image, packed
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.detached import waiting
from ebbtide.infra.platforms.kubernetes.detached.job import (
    NOTHING,
    container_of,
    flow_labels,
    job_name,
    job_of,
    secret_of,
)
from ebbtide.infra.platforms.kubernetes.kinds import JOB, POD, POD_TEMPLATE, Object
from ebbtide.infra.platforms.kubernetes.reading.snapshot import runs
from ebbtide.infra.platforms.kubernetes.shipping.package import Package
from ebbtide.infra.platforms.kubernetes.shipping.program import secret_values, translate
from ebbtide.infra.platforms.kubernetes.shipping.sending import send
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wait_until

_LONGEST_S = 600.0
"""A flow that has not come by then is given up, whatever time the run has to start."""
_MORE_S = 90.0
"""The Job outlasts us, so that its pod ends a run that we have left in between."""
_LOOK_S = 0.5


class Departure:
    """Of one run; see ``infra.platforms.extras.Departure``."""

    def __init__(self, settings: Settings, spec: RunSpec):
        """Ask whether the namespace has what a flow needs; nothing is made.

        Args:
            settings: of this installation.
            spec: as it would run from here.

        Raises:
            EbbError: there is no way to the API server.
        """
        self._settings, self._here = settings, spec
        self._api = connected(settings)
        self._maker: FlowMaker | None = None
        self._looked = waiting.FlowPod(self._api, spec.cluster.pool.pull_within_s)
        self._run, self._pod, self._container, self._why = spec.name, "", "", "its pod is made"
        with translated("look for what a flow in the namespace needs"):
            self.finding: Finding = flow(self._api)

    @property
    def namespace(self) -> str:
        """Of the cluster's pods, and of the flow's."""
        return self._api.namespace

    @property
    def spec(self) -> RunSpec:
        """As the pods have it: paths of this machine mean nothing to the flow there."""
        job = self._here.job
        if job is None or is_in_image(job):
            return self._here
        return replace(self._here, job=translate(job, Path(job.workdir)).job)

    def hand_over(
        self,
        store: RunStore,
        run: RunName,
        waits: Callable[[str], bool],
        maker: FlowMaker | None = None,
    ) -> None:
        """Start the flow there, and wait until it has taken the run over.

        Args:
            store: with the run, which has begun.
            run: its name.
            waits: takes what is waited for; whether the person who waits still does.
            maker: who makes the flow's Job; None: we do.

        Raises:
            EbbError: it did not come; nothing of it is left.
        """
        self._run, self._maker, here = run, maker, replace(self._here, name=run)
        package = packed(self._settings, here)
        try:
            with translated("start the flow in the namespace"):
                self._give_secrets(self._made(store, here, package, waits), here)
                self._wait(lambda: self._runs() or self._taken_over(store, run), here, waits)
                if package is not None and not self._taken_over(store, run):
                    send(self._api.run, self._pod, package, container=self._container)
            self._wait(lambda: self._taken_over(store, run), here, waits)
        except BaseException as error:
            with contextlib.suppress(ApiError):
                self._api.delete(JOB, job_name(run), propagation="Background")
            if maker is not None:
                maker.give_up(str(error))
            raise
        finally:
            shutil.rmtree(self._settings.run_folder(run), ignore_errors=True)

    def _made(
        self, store: RunStore, spec: RunSpec, package: Package | None, waits: Callable[[str], bool]
    ) -> Object | None:
        """The flow's Job; None when the run has been taken over or has ended already."""
        digest, until_s = package.digest if package else "", _patience_s(spec) + _MORE_S
        if self._maker is None:
            template = self._api.get(POD_TEMPLATE, FLOW)
            if template is None:  # it was there a moment ago
                detail = f"PodTemplate {FLOW} has gone"
                raise ProvisioningError(Reason.LAUNCH_FAILED, detail=detail)
            return self._api.create(job_of(template, spec, digest, hand_over_s=until_s))
        self._maker.make(FlowOrder(spec.name, digest or NOTHING, round(until_s)))
        found: list[Object] = []

        def came() -> bool:
            job = self._api.get(JOB, job_name(spec.name))
            found.extend([job] if job is not None else [])
            return bool(found) or self._taken_over(store, spec.name)

        self._wait(came, spec, waits)
        return found[0] if found else None

    def _give_secrets(self, job: Object | None, spec: RunSpec) -> None:
        """Leave what came from this shell in a Secret that goes with the Job."""
        if job is not None and spec.job is not None and spec.job.secrets:
            self._api.create(secret_of(job, secret_values(spec.job, os.environ)))

    def _wait(self, probe: Callable[[], bool], spec: RunSpec, waits: Callable[[str], bool]) -> None:
        where, patience_s = f"the flow in namespace {self.namespace}", _patience_s(spec)

        def come() -> bool:
            why = self._why
            if self._maker is not None and not self._pod:
                self._why = self._maker.look() or self._why
                why = f"{self._why}; for {format_duration(patience_s)} at most"
            if not waits(f"{where}: {why}"):
                raise JobError(Reason.CANCELLED)
            return probe()

        if not wait_until(come, timeout_s=patience_s, longest_s=_LOOK_S):
            detail = f"{where} did not begin in time: {self._why}"
            raise ProvisioningError(Reason.LAUNCH_FAILED, detail=detail)

    def _runs(self) -> bool:
        """Whether its container does; what will never come ends the wait."""
        pod = self._found()
        if pod is None:
            self._why = waiting.why_no_pod(self._api, job_name(self._run)) or self._why
            return False
        self._pod, self._container = pod["metadata"]["name"], container_of(pod)
        told = self._looked.told(pod, self._container)
        self._why = told.why or "it begins"
        if told.never:
            detail = f"the flow's pod {self._pod} {told.how}: {self._why}"
            whose = f"PodTemplate {FLOW}'s"
            if self._maker is not None:
                whose = "the work pool's, and needs Prefect in it"
            hint = f"kubectl describe pod {self._pod}; its image is {whose}"
            raise ProvisioningError(Reason.LAUNCH_FAILED, detail=detail, hint=hint)
        return runs(pod, self._container)

    def _taken_over(self, store: RunStore, run: RunName) -> bool:
        """Whether the record names a process of another machine as the driver, or the run is over.

        Raises:
            EbbError: it has ended before.
        """
        found = store.run(run)
        if found is not None and found.over and found.reason is not None:
            raise ProvisioningError(Reason.LAUNCH_FAILED, detail=found.detail)
        if found is None or found.over:
            return True
        return found.flow_process is not None and bool(found.flow_process.machine)

    def _found(self) -> Object | None:
        pods = self._api.list(POD, flow_labels(self._run)).items
        return pods[-1] if pods else None


def departure(settings: Settings, spec: RunSpec) -> Departure:
    """Prepare to hand a run over; see ``Departure``."""
    return Departure(settings, spec)


def _patience_s(spec: RunSpec) -> float:
    return min(_LONGEST_S, spec.limits.start_within_s)
