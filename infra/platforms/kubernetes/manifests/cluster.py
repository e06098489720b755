"""Everything that is made for one cluster, in the order in which it is made.

The Lease comes first and owns the rest: deleting it gives everything back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ebbtide.infra.frameworks.base import Framework, HeadInfo, PodTemplates, ProcessSpec
from ebbtide.infra.frameworks.door import SECRET_FILE, new_secret
from ebbtide.infra.frameworks.heads import head_file_text
from ebbtide.infra.frameworks.plan import ClusterPlan, SecretFile
from ebbtide.infra.models.cluster import AutoscalePolicy
from ebbtide.infra.models.hardware import HardwareTier
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.manifests.operated import dask_cluster
from ebbtide.infra.platforms.kubernetes.manifests.pods import (
    MOVES,
    STAYS,
    Machine,
    Process,
    marks_of,
    pod_spec,
)
from ebbtide.infra.platforms.kubernetes.manifests.shipment import (
    Shipment,
    member_command,
    member_variables,
    program_command,
    program_variables,
    secret_entries,
    secret_variables,
    task_modules,
)
from ebbtide.infra.platforms.kubernetes.manifests.templates import Ask, ask
from ebbtide.infra.platforms.kubernetes.naming import (
    OUTPUTS,
    PACKAGE,
    TAGS,
    driver_name,
    head_name,
    labels,
    selector,
    workers_name,
)
from ebbtide.infra.policy.scaling import STEP_PERIOD_S

_NEVER_PERCENT = 1_000_000
"""With demand alone the floor decides: an HPA without metrics would take 80 % of the CPU."""
EMPTY = Shipment()
"""Nothing is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the objects of a cluster go."""

    namespace: str
    machine: Machine
    templates: Ask = ask
    """Draws what the pods of a framework start from."""


def cluster_secrets(framework: Framework | None, plan: ClusterPlan) -> tuple[SecretFile, ...]:
    """New keys of a cluster; of a plain program only the secret of its package store."""
    if framework is None:
        return (SecretFile(SECRET_FILE, new_secret()),)
    return framework.prepare(plan)


def objects(
    spec: RunSpec,
    plan: ClusterPlan,
    framework: Framework | None,
    secrets: Iterable[SecretFile],
    place: Place,
    shipment: Shipment = EMPTY,
) -> list[Object]:
    """The objects of a cluster: Lease, keys, network, and with a framework head and workers.

    Args:
        spec: of the run.
        plan: of the cluster, with the paths of ``layout`` and workdir and import path of the
            shipment.
        framework: whose cluster it is; None for a plain program.
        secrets: what ``cluster_secrets`` made.
        place: where they go.
        shipment: what of the user's goes with it.

    Returns:
        The Lease, and what it is to own (see ``owned``).
    """
    made = _Maker(spec, plan.cluster, place, shipment)
    common = [made.lease(), made.secret(secrets)]
    if framework is None:
        return [*common, made.network_policy()]
    start = place.templates(framework, plan.cluster, place.machine.image)
    return [
        *common,
        made.head_file(framework, layout.PORT),
        made.network_policy(),
        made.service(start.service),
        made.budget(),
        *made.members(framework, plan, start),
    ]


def driver(
    spec: RunSpec,
    plan: ClusterPlan,
    framework: Framework | None,
    place: Place,
    shipment: Shipment = EMPTY,
) -> Object:
    """Step 6: the pod of the user's program. It waits for code, head and workers by itself.

    Args:
        spec: of the run.
        plan: of the cluster.
        framework: whose cluster it is; None for a plain program.
        place: where it goes.
        shipment: what of the user's goes with it; without a program in it that of the spec runs,
            as it is.

    Returns:
        The pod; its name is fixed, so that it is made once.
    """
    return _Maker(spec, plan.cluster, place, shipment).driver(framework, plan)


def owned(thing: Object, lease: Mapping[str, Any]) -> Object:
    """The same object as the Lease's: with it, it goes.

    Args:
        thing: one of ``objects``.
        lease: as the API server answered when it was made.

    Returns:
        A copy with the reference.
    """
    owner = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "name": lease["metadata"]["name"],
        "uid": lease["metadata"]["uid"],
        "blockOwnerDeletion": True,
    }
    return {**thing, "metadata": {**thing["metadata"], "ownerReferences": [owner]}}


@dataclass(frozen=True, slots=True)
class _Maker:
    """One cluster's objects, each with the labels of its role."""

    spec: RunSpec
    cluster: ClusterId
    place: Place
    shipment: Shipment = EMPTY

    def _object(self, api: str, kind: str, name: str, role: str, **body: Any) -> Object:
        metadata: Object = {
            "name": name,
            "namespace": self.place.namespace,
            "labels": labels(self.spec, self.cluster, role),
        }
        if self.spec.tags:
            metadata["annotations"] = {TAGS: " ".join(self.spec.tags)}
        return {"apiVersion": api, "kind": kind, "metadata": metadata, **body}

    def _staying_pod(self, name: str, role: str, tier: HardwareTier, process: Process) -> Object:
        """A pod that starts once, and that no node autoscaler moves: with it goes the run."""
        body = pod_spec(self.cluster, role, tier, self.place.machine, process)
        made = self._object("v1", "Pod", name, role, spec={**body, "restartPolicy": "Never"})
        noted = made["metadata"].get("annotations", {})
        made["metadata"]["annotations"] = {**noted, **STAYS, **marks_of(tier)}
        return made

    def lease(self) -> Object:
        """The root: renewed by whoever drives the run, and unchanged when nobody does."""
        duration = {"leaseDurationSeconds": int(self.spec.lease_s)}
        made = self._object(
            "coordination.k8s.io/v1", "Lease", self.cluster, "cluster", spec=duration
        )
        if self.shipment.digest:
            made["metadata"].setdefault("annotations", {})[PACKAGE] = self.shipment.digest
        return made

    def secret(self, files: Iterable[SecretFile]) -> Object:
        """The cluster's keys and configuration, and the values of the user's secrets."""
        content = {file.name: file.content for file in files}
        content.update(secret_entries(self.shipment))
        return self._object("v1", "Secret", self.cluster, "cluster", stringData=content)

    def head_file(self, framework: Framework, port: int) -> Object:
        """Where workers find the head, known before the head is."""
        service = head_name(self.cluster)
        text = head_file_text(
            address=framework.address(service, port), front=f"http://{service}:{layout.PAGE_PORT}"
        )
        return self._object("v1", "ConfigMap", service, "cluster", data={"head.json": text})

    def network_policy(self) -> Object:
        """Only the cluster's own pods come in. Probes and port-forwards come from the node."""
        mine = {"podSelector": {"matchLabels": selector(self.cluster)}}
        rule = {
            "podSelector": {"matchLabels": selector(self.cluster)},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [mine]}],
        }
        return self._object(
            "networking.k8s.io/v1", "NetworkPolicy", self.cluster, "cluster", spec=rule
        )

    def service(self, start: Mapping[str, Any]) -> Object:
        """The head's name, also before it is ready: workers come early and try again."""
        ports = {
            "members": layout.PORT,
            "pages": layout.PAGE_PORT,
            "packages": layout.PACKAGE_PORT,
        }
        given = start.get("ports", [])
        known = {each["port"] for each in given}
        added = [{"name": name, "port": ports[name]} for name in ports if ports[name] not in known]
        body = {
            **start,
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": selector(self.cluster, "head"),
            "ports": [*given, *added],
        }
        return self._object("v1", "Service", head_name(self.cluster), "head", spec=body)

    def budget(self) -> Object:
        """Node drains take one worker at a time: each moves its data to the others."""
        body = {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector(self.cluster, "worker")},
        }
        return self._object(
            "policy/v1", "PodDisruptionBudget", workers_name(self.cluster), "worker", spec=body
        )

    def members(
        self, framework: Framework, plan: ClusterPlan, start: PodTemplates
    ) -> tuple[Object, ...]:
        """Head and workers, or who is asked to make them."""
        head = self.head(framework, plan, start.head)
        workers = self.workers(framework, plan, start.worker)
        if not plan.spec.by_operator:
            return head, workers
        common = labels(self.spec, self.cluster, "cluster")
        return (dask_cluster(head, workers, start.service, common),)

    def head(self, framework: Framework, plan: ClusterPlan, start: Mapping[str, Any]) -> Object:
        """A pod of its own: a head that is made again is another head, with nothing in it."""
        name = head_name(self.cluster)
        what = framework.head(plan, layout.head(name))
        env = self._member_variables(what)
        shared = _shared(framework, plan, "head")
        process = Process(argv=what.argv, env=env, start=start, shared_memory_bytes=shared)
        if self.shipment.code_url:  # else the store beside it unpacks what it is sent
            argv = member_command(self.spec, self.cluster, self.shipment, what.argv)
            secrets = tuple(secret_variables(self.cluster, self.shipment))
            process = replace(process, argv=argv, secrets=secrets)
        return self._staying_pod(name, "head", plan.spec.head_tier, process)

    def autoscaler(self, name: str, body: Object) -> Object:
        """The HPA with this specification."""
        return self._object("autoscaling/v2", "HorizontalPodAutoscaler", name, "worker", spec=body)

    def driver(self, framework: Framework | None, plan: ClusterPlan) -> Object:
        """The pod of the user's program: it starts once, and its exit code stays in its status."""
        job = self.shipment.job or self.spec.job
        assert job is not None
        shipped = replace(self.shipment, job=job)
        env, tier, history, beside = {}, plan.spec.tier, "", None
        if framework is not None:
            tier, address = plan.spec.head_tier, head_name(self.cluster)
            head = framework.address(address, layout.PORT)
            known = HeadInfo(address=head, dashboard="", status_url="", secret="")
            env = framework.driver_env(plan, layout.worker(), known)
            if shipped.held and (modules := task_modules(self.spec, self.cluster, shipped)):
                told = modules.variables.items()
                env = {**env, **{name: layout.literal(value) for name, value in told}}
            history, beside = framework.history, framework.beside(plan, layout.worker())
        process = Process(
            argv=program_command(self.spec, self.cluster, shipped, job.argv, history, beside),
            env=program_variables(self.spec, self.cluster, job.env, env),
            secrets=tuple(secret_variables(self.cluster, shipped)),
            output=shipped.volume,
            gone_when_collected=shipped.held,
            shared_memory_bytes=_shared(framework, plan, "driver"),
        )
        made = self._staying_pod(driver_name(self.cluster), "driver", tier, process)
        if shipped.outputs:
            made["metadata"]["annotations"][OUTPUTS] = shipped.outputs
        return made

    def workers(self, framework: Framework, plan: ClusterPlan, start: Mapping[str, Any]) -> Object:
        """A Deployment, because only a ReplicaSet lets the idlest go first (pod-deletion-cost)."""
        what = framework.worker(plan, f"$({layout.POD_NAME})", layout.worker())
        process = Process(
            argv=member_command(self.spec, self.cluster, self.shipment, what.argv),
            env=self._member_variables(what),
            secrets=tuple(secret_variables(self.cluster, self.shipment)),
            start=start,
            shared_memory_bytes=_shared(framework, plan, "worker"),
        )
        machine = self.place.machine
        template = {
            "metadata": {
                "labels": labels(self.spec, self.cluster, "worker"),
                "annotations": {**MOVES, **marks_of(plan.spec.tier)},
            },
            "spec": pod_spec(self.cluster, "worker", plan.spec.tier, machine, process),
        }
        body = {
            "replicas": plan.spec.policy.min_workers,
            "selector": {"matchLabels": selector(self.cluster, "worker")},
            "strategy": {"type": "Recreate"},
            "template": template,
        }
        return self._object(
            "apps/v1", "Deployment", workers_name(self.cluster), "worker", spec=body
        )

    def _member_variables(self, what: ProcessSpec) -> dict[str, str]:
        """What a task printed is in the log also when its worker is killed: it is not buffered."""
        job = self.shipment.job or self.spec.job
        added = job.env if job is not None else self.spec.added_env
        users = {"PYTHONUNBUFFERED": "1", **what.defaults, **added}
        return member_variables(self.spec, self.cluster, users, what.env, what.not_for_tasks)


def _shared(framework: Framework | None, plan: ClusterPlan, role: str) -> int:
    return framework.shared_memory_bytes(plan.spec, role) if framework is not None else 0


def autoscaler(spec: RunSpec, cluster: ClusterId, place: Place) -> Object:
    """Step 5: the HPA of the workers.

    Args:
        spec: of the run; its policy in the HPA's words.
        cluster: its id.
        place: where it goes.

    Returns:
        The HPA. Its floor rises with demand, by another field manager.
    """
    policy, name = spec.cluster.policy, workers_name(cluster)
    targets = {"cpu": policy.target_cpu_percent, "memory": policy.target_memory_percent}
    body = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": policy.min_workers,
        "maxReplicas": policy.max_workers,
        "metrics": [_resource(name, targets[name]) for name in targets if name in policy.scale_on]
        or [_resource("cpu", _NEVER_PERCENT)],
        "behavior": _behavior(policy),
    }
    made = _Maker(spec, cluster, place)
    return made.autoscaler(name, body)


def _behavior(policy: AutoscalePolicy) -> Object:
    """What is not said is the HPA's default: the larger of +4 and +100 % in 15 seconds upwards."""
    down: Object = {"stabilizationWindowSeconds": int(policy.scale_down_window_s)}
    if policy.scale_down_step is not None:
        step = {"type": "Pods", "value": policy.scale_down_step, "periodSeconds": STEP_PERIOD_S}
        down["policies"] = [step]
    up: Object = {}
    if policy.scale_up_window_s:
        up["stabilizationWindowSeconds"] = int(policy.scale_up_window_s)
    if policy.scale_up_step is not None:
        step = {"type": "Pods", "value": policy.scale_up_step, "periodSeconds": STEP_PERIOD_S}
        up["policies"] = [step]
    return {"scaleUp": up, "scaleDown": down} if up else {"scaleDown": down}


def _resource(metric: str, percent: float) -> Object:
    target = {"type": "Utilization", "averageUtilization": round(percent)}
    return {"type": "Resource", "resource": {"name": metric, "target": target}}
