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
from ebbtide.infra.platforms.extras import Finding
from ebbtide.infra.platforms.kubernetes.administration.checks import FLOW, flow
from ebbtide.infra.platforms.kubernetes.api_error import ApiError, translated
from ebbtide.infra.platforms.kubernetes.clusters.packaging import is_in_image, packed
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.detached.job import (
    CONTAINER,
    flow_labels,
    job_name,
    job_of,
    secret_of,
)
from ebbtide.infra.platforms.kubernetes.kinds import JOB, POD, POD_TEMPLATE, Object
from ebbtide.infra.platforms.kubernetes.reading.snapshot import condition, runs
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
_NEVER = ("ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError")
"""What a pod waits for that will not come by waiting; a Secret that is a moment late is none."""


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
        self._run, self._pod, self._why = spec.name, "", "its pod is made"
        with translated("look for what a flow in the namespace needs"):
            self.finding: Finding = flow(self._api)

    @property
    def spec(self) -> RunSpec:
        """As the pods have it: paths of this machine mean nothing to the flow there."""
        job = self._here.job
        if job is None or is_in_image(job):
            return self._here
        return replace(self._here, job=translate(job, Path(job.workdir)).job)

    def hand_over(self, store: RunStore, run: RunName, waits: Callable[[str], bool]) -> None:
        """Start the flow there, and wait until it has taken the run over.

        Args:
            store: with the run, which has begun.
            run: its name.
            waits: takes what is waited for; whether the person who waits still does.

        Raises:
            EbbError: it did not come; nothing of it is left.
        """
        self._run, here = run, replace(self._here, name=run)
        package = packed(self._settings, here)
        try:
            with translated("start the flow in the namespace"):
                self._make(here, package)
                self._wait(lambda: self._runs() or self._taken_over(store, run), here, waits)
                if package is not None and not self._taken_over(store, run):
                    send(self._api.run, self._pod, package, container=CONTAINER)
            self._wait(lambda: self._taken_over(store, run), here, waits)
        except BaseException:
            with contextlib.suppress(ApiError):
                self._api.delete(JOB, job_name(run), propagation="Background")
            raise
        finally:
            shutil.rmtree(self._settings.run_folder(run), ignore_errors=True)

    def _make(self, spec: RunSpec, package: Package | None) -> None:
        template = self._api.get(POD_TEMPLATE, FLOW)
        if template is None:  # it was there a moment ago
            detail = f"PodTemplate {FLOW} has gone"
            raise ProvisioningError(Reason.LAUNCH_FAILED, detail=detail)
        values = secret_values(spec.job, os.environ) if spec.job is not None else {}
        digest = package.digest if package is not None else ""
        until_s = _patience_s(spec) + _MORE_S
        job = self._api.create(
            job_of(template, spec, digest, secrets=bool(values), hand_over_s=until_s)
        )
        if values:
            self._api.create(secret_of(job, values))

    def _wait(self, probe: Callable[[], bool], spec: RunSpec, waits: Callable[[str], bool]) -> None:
        where = f"the flow in namespace {self._api.namespace}"

        def come() -> bool:
            if not waits(f"{where}: {self._why}"):
                raise JobError(Reason.CANCELLED)
            return probe()

        if not wait_until(come, timeout_s=_patience_s(spec), longest_s=_LOOK_S):
            detail = f"{where} did not begin in time: {self._why}"
            raise ProvisioningError(Reason.LAUNCH_FAILED, detail=detail)

    def _runs(self) -> bool:
        """Whether its container does; what will never come ends the wait."""
        pod = self._found()
        if pod is None:
            return False
        self._pod = pod["metadata"]["name"]
        word, message = _waiting(pod)
        self._why = f"{word}: {message}".strip(": ") or "it begins"
        if word in _NEVER:
            detail = f"the flow's pod {self._pod} cannot start: {self._why}"
            hint = f"kubectl describe pod {self._pod}; its image is PodTemplate {FLOW}'s"
            raise ProvisioningError(Reason.LAUNCH_FAILED, detail=detail, hint=hint)
        return runs(pod, CONTAINER)

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


def _waiting(pod: Object) -> tuple[str, str]:
    """What a pod waits for: a word and a sentence of Kubernetes; empty when it does not."""
    for each in pod.get("status", {}).get("containerStatuses") or ():
        waits = each["state"].get("waiting") or {}
        if waits:
            return str(waits.get("reason", "")), str(waits.get("message", ""))
    placed = condition(pod, "PodScheduled")
    if placed is None or placed["status"] == "True":
        return "", ""
    return str(placed.get("reason", "")), str(placed.get("message", ""))
