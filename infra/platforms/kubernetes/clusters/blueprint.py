"""All objects of one cluster, from the spec of its run: the same for everybody who asks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ebbtide.infra.frameworks.base import Framework, load_framework
from ebbtide.infra.frameworks.plan import ClusterPlan, Timeouts
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import JobSpec, RunSpec, code_source
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.manifests import cluster as manifests
from ebbtide.infra.platforms.kubernetes.manifests.pods import Machine
from ebbtide.infra.platforms.kubernetes.manifests.shipment import SecretKey, Shipment
from ebbtide.infra.platforms.kubernetes.manifests.templates import Ask, ask
from ebbtide.infra.platforms.kubernetes.naming import PROGRAM, program_name
from ebbtide.infra.platforms.kubernetes.shipping.program import secret_values, translate


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """What is to be made for one cluster."""

    spec: RunSpec
    framework: Framework | None
    """None for a plain program."""
    plan: ClusterPlan
    place: manifests.Place
    shipment: Shipment

    @classmethod
    def of(
        cls,
        spec: RunSpec,
        cluster: ClusterId,
        namespace: str,
        digest: str,
        environ: Mapping[str, str] = os.environ,
        templates: Ask = ask,
    ) -> Blueprint:
        """Draw it.

        Args:
            spec: of the run.
            cluster: its id.
            namespace: where its objects go.
            digest: of the package with its code; empty: its image has all.
            environ: where the values of its secrets are.
            templates: draws what a framework's pods start from.

        Returns:
            The blueprint. Of its Secrets each has other keys: only the first is used.
        """
        shipment = replace(_shipment(spec.job, digest, environ), outputs=spec.outputs)
        pool, asked = spec.cluster.pool, spec.cluster
        machine = Machine(
            image=pool.image(asked.framework),
            selector=pool.selector,
            tolerations=pool.tolerations,
            gpu_resource=pool.gpu_resource,
            gpu_label=pool.gpu_label,
            spot_label=pool.spot_label,
            spot_tolerations=pool.spot_tolerations,
        )
        plan = ClusterPlan(
            cluster=cluster,
            spec=asked,
            paths=layout.paths(),
            timeouts=_timeouts(spec),
            workdir=shipment.workdir,
            import_path=shipment.import_path,
            environ=spec.added_env,
        )
        return cls(
            spec=spec,
            framework=load_framework(asked.framework) if asked.has_workers else None,
            plan=plan,
            place=manifests.Place(namespace=namespace, machine=machine, templates=templates),
            shipment=shipment,
        )

    @property
    def scales(self) -> bool:
        """Whether an HPA is to scale its workers; nothing does what Dask's operator has made."""
        return self.framework is not None and not self.plan.spec.by_operator

    def objects(self) -> list[Object]:
        """The Lease, and what steps 1 to 4 need of it."""
        secrets = manifests.cluster_secrets(self.framework, self.plan)
        return manifests.objects(
            self.spec, self.plan, self.framework, secrets, self.place, self.shipment
        )

    def declared(self) -> list[Object]:
        """The same, and a plain program's pod: it waits for room, and then until it is told."""
        plain = self.framework is None and self.spec.job is not None
        return [*self.objects(), *([self.driver(told_to_begin=True)] if plain else [])]

    def autoscaler(self) -> Object:
        """The HPA of its workers."""
        return manifests.autoscaler(self.spec, self.plan.cluster, self.place)

    def driver(self, *, told_to_begin: bool) -> Object:
        """The pod of its program, which begins by itself or when it is told to."""
        shipment = replace(self.shipment, told_to_begin=told_to_begin)
        return manifests.driver(self.spec, self.plan, self.framework, self.place, shipment)

    def program(self, name: str, job: JobSpec, digest: str) -> Object:
        """The pod of one more program on it.

        Args:
            name: of the program.
            job: the program.
            digest: of the package with its code; empty: its image has all.

        Returns:
            The pod.
        """
        outputs = f"{self.spec.outputs}/{name}" if self.spec.outputs else ""
        shipment = replace(_shipment(job, digest, os.environ), held=True, outputs=outputs)
        pod = manifests.driver(self.spec, self.plan, self.framework, self.place, shipment)
        pod["metadata"]["name"] = program_name(self.plan.cluster, name)
        pod["metadata"]["annotations"][PROGRAM] = name
        return pod


def _shipment(job: JobSpec | None, digest: str, environ: Mapping[str, str]) -> Shipment:
    if job is None:
        return Shipment(digest=digest)
    moved, source = translate(job, Path(job.workdir)), code_source(job.code)
    url = job.code if source is not None and not source.is_git else ""
    has_code = bool(digest or url)
    return Shipment(
        digest=digest,
        code_url=url,
        job=moved.job if has_code else replace(moved.job, workdir=str(layout.HOME)),
        import_path=moved.import_path if has_code else (),
        secret_values=secret_values(job, environ),
        secret_keys={
            name: SecretKey(*where.split("/", 1)) for name, where in job.secret_keys.items()
        },
    )


def _timeouts(spec: RunSpec) -> Timeouts:
    """A head's node, and a worker's, may take as long to come as the run may to start."""
    usual = Timeouts()
    wait_s = max(usual.head_wait_s, spec.limits.start_within_s)
    return replace(usual, head_wait_s=wait_s)
