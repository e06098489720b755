"""Pods of head, worker and driver: what Pod Security ``restricted`` allows, sized by their tier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from ebbtide.infra.frameworks import ready
from ebbtide.infra.frameworks.door import SECRET_FILE
from ebbtide.infra.models.hardware import BESIDE, GPU_LABEL, GPU_RESOURCE, HardwareTier
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import ClaimedVolume
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.naming import SPOT, head_name

STAYS = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}
"""On head and driver: with them goes the run. Cluster Autoscaler's and Karpenter's own words."""
MOVES = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}
"""On workers: they drain."""
QUICK_GRACE_S = 5
"""Of the head: it has nothing to move."""
DRIVER_GRACE_S = 30
"""What a program wrote is brought away meanwhile; a spot node may leave no more."""
DRAIN_SPARE_S = 35
"""Beyond the drain budget: with it used up and a task still running, a worker takes so long."""
_USER = 10001
"""Of the images."""
_UNREACHABLE_S = 30
"""A lost node's pods are given up after this; Kubernetes' default is 300 s."""
_READY_EVERY_S = 1
_SHM = str(layout.SHARED_MEMORY)
_FILES_MAX_MEMORY = "128Mi"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where the pods of one tier may run, and from which image."""

    image: str
    selector: Mapping[str, str]
    """Labels of the pool's nodes."""
    pull_policy: str = "IfNotPresent"
    tolerations: tuple[Mapping[str, str], ...] = ()
    """Of the taints that the pool's nodes have, as a pod spells them."""
    gpu_resource: str = GPU_RESOURCE
    """By which its pods ask for GPUs."""
    gpu_label: str = GPU_LABEL
    """Of the pool's nodes: which GPUs they have."""
    spot_label: Mapping[str, str] = field(default_factory=dict)
    """Of those of its nodes that may be taken away, where only some may."""
    spot_tolerations: tuple[Mapping[str, str], ...] = ()
    """Of their taints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """The main process of a pod."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """Values as a pod spells them: they may name ``$(POD_IP)``."""
    secrets: tuple[Object, ...] = ()
    """Variables whose values are in Secrets."""
    output: ClaimedVolume | None = None
    """Where ``EBB_OUTPUT_DIR`` lies; None: in the pod itself."""
    shared_memory_bytes: int = 0
    """Of /dev/shm, out of the memory of its tier; 0: what the container runtime gives."""
    gone_when_collected: bool = False
    """Whether its pod ends, and gives its room back, when all that it left has been collected."""
    start: Mapping[str, Any] = field(default_factory=dict)
    """The ``spec`` that its pod starts from, of one container; what follows here is stronger."""


@dataclass(frozen=True, slots=True)
class _Volume:
    """One volume, and where it is mounted."""

    name: str
    path: PurePath
    of: tuple[str, ...]
    """The roles whose main container has it."""
    files: tuple[str, ...] = ()
    """The roles whose container ``files`` has it too."""


_ALL, _WITH_FILES = ("head", "worker", "driver"), ("head", "driver")
_VOLUMES = (
    _Volume("secrets", layout.SECRETS, _ALL),
    _Volume("head", layout.HEAD_FOLDER, _ALL),
    _Volume("scratch", layout.SCRATCH, _ALL),
    _Volume("artifacts", layout.ARTIFACTS, _ALL, _WITH_FILES),
    _Volume("tmp", layout.TEMPORARY, _ALL),
    _Volume("home", layout.HOME, _ALL),
    # The head starts without waiting for the code: its store unpacks it there when it comes.
    _Volume("code", layout.CODE, _ALL, ("head",)),
    _Volume("output", layout.OUTPUT, ("driver",), ("driver",)),
    _Volume("log", layout.LOG, ("driver",), ("driver",)),
    _Volume("door", layout.DOOR, (), _WITH_FILES),
    _Volume("packages", layout.PACKAGES, (), _WITH_FILES),
)


def pod_spec(
    cluster: ClusterId, role: str, tier: HardwareTier, machine: Machine, process: Process
) -> Object:
    """The ``spec`` of a head's, worker's or driver's pod.

    Args:
        cluster: its id; the names of its Secret and ConfigMap follow from it.
        role: ``head``, ``worker`` or ``driver``.
        tier: of this member.
        machine: where it may run.
        process: its command line and environment.

    Returns:
        The specification, without a name.
    """
    graces = {"head": QUICK_GRACE_S, "driver": DRIVER_GRACE_S}
    grace_s = graces.get(role, int(tier.drain_budget_s) + DRAIN_SPARE_S)
    if tier.notice_s is not None:
        grace_s = min(grace_s, int(tier.notice_s))
    beside = [_files(role, machine, process)] if role in _WITH_FILES else []
    return {
        **process.start,
        "containers": [_container(role, tier, machine, process), *beside],
        "volumes": [*_volumes(cluster, role, process.output), *_shared_memory(process)],
        "nodeSelector": {
            **machine.selector,
            **({machine.gpu_label: tier.gpu_type} if tier.gpu_type else {}),
            **(machine.spot_label if tier.spot else {}),
        },
        **({} if tier.spot else off_spot_nodes(machine.spot_label)),
        "tolerations": [
            *map(dict, machine.tolerations),
            *(map(dict, machine.spot_tolerations) if tier.spot else ()),
            *_give_up_lost_nodes(),
        ],
        **({"priorityClassName": tier.priority} if tier.priority else {}),
        "terminationGracePeriodSeconds": grace_s,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            **secure_pod(),
            "runAsGroup": _USER,
            "fsGroup": _USER,
            # A volume may hold the files of years: they need not be looked at each time.
            **({"fsGroupChangePolicy": "OnRootMismatch"} if process.output else {}),
        },
    }


def secure_pod() -> Object:
    """What Pod Security ``restricted`` wants of every pod: its ``securityContext``."""
    profile = {"type": "RuntimeDefault"}
    return {"runAsNonRoot": True, "runAsUser": _USER, "seccompProfile": profile}


def secure_container() -> Object:
    """The same of each of its containers."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def _container(role: str, tier: HardwareTier, machine: Machine, process: Process) -> Object:
    memory, ready_at = str(tier.resources.memory_bytes), layout.READY_PORT
    # Of an extended resource the request must be its limit.
    gpus = {machine.gpu_resource: str(tier.resources.gpus)} if tier.resources.gpus else {}
    given: Object = next(iter(process.start.get("containers", ())), {})
    # A head that is started again is another one, with nothing in it: nobody shall ask it to.
    kept = {name: value for name, value in given.items() if name != "livenessProbe"}
    return {
        "name": role,
        **kept,
        **_from(machine),
        # ``args``, not ``command``: the image's init stays the first process.
        "args": list(process.argv),
        "env": [
            *_downward(),
            *(given.get("env") or ()),
            *({"name": name, "value": value} for name, value in process.env.items()),
            *process.secrets,
        ],
        "resources": {
            "requests": {"cpu": f"{tier.resources.cpu_millis}m", "memory": memory, **gpus},
            # No limit of CPU: what nobody uses is free, and the HPA counts by requests.
            "limits": {"memory": memory, **gpus},
        },
        "ports": [
            *(each for each in given.get("ports", ()) if each["containerPort"] != ready_at),
            {"name": "ready", "containerPort": ready_at},
        ],
        # A head's last words say what its image lacks; the others write what is to be told.
        **({"terminationMessagePolicy": "FallbackToLogsOnError"} if role == "head" else {}),
        # Ready when it says so itself: a worker once it has registered with its head.
        "readinessProbe": {
            "httpGet": {"path": ready.PATH, "port": "ready"},
            "periodSeconds": _READY_EVERY_S,
            "timeoutSeconds": 5,
        },
        "volumeMounts": [
            *(
                _mount(
                    volume,
                    process.output,
                    read_only=volume.name == "secrets" or _is_read_only_head(volume, role),
                )
                for volume in _VOLUMES
                if role in volume.of
            ),
            *({"name": each["name"], "mountPath": _SHM} for each in _shared_memory(process)),
        ],
    }


def _files(role: str, machine: Machine, process: Process) -> Object:
    """Beside head and driver: it serves the code, and is there when the program has ended."""
    places = ["--packages", str(layout.PACKAGES), "--secrets", str(layout.DOOR)]
    if role == "driver":
        places += ["--log", str(layout.LOG)]
        places += ["--leave"] if process.gone_when_collected else []
    else:
        places += ["--tunnel", str(layout.TUNNEL_PORT), "--head", str(layout.PORT)]
    return {
        "name": layout.FILES,
        **_from(machine),
        "args": list(layout.module("files", "--port", str(layout.PACKAGE_PORT), *places)),
        "ports": [{"name": "packages", "containerPort": layout.PACKAGE_PORT}],
        "resources": {
            "requests": {"cpu": f"{BESIDE.cpu_millis}m", "memory": str(BESIDE.memory_bytes)},
            "limits": {"memory": _FILES_MAX_MEMORY},
        },
        "volumeMounts": [
            _mount(volume, process.output, read_only=volume.name in ("door", "output", "artifacts"))
            for volume in _VOLUMES
            if role in volume.files
        ],
    }


def _from(machine: Machine) -> Object:
    return {
        "image": machine.image,
        "imagePullPolicy": machine.pull_policy,
        "securityContext": {**secure_container(), "readOnlyRootFilesystem": True},
    }


def _is_read_only_head(volume: _Volume, role: str) -> bool:
    return volume.name == "head" and role != "head"


def _mount(volume: _Volume, output: ClaimedVolume | None, *, read_only: bool) -> Object:
    more: Object = {"readOnly": True} if read_only else {}
    if volume.name == "output" and output is not None:
        more["subPath"] = output.folder
    return {"name": volume.name, "mountPath": str(volume.path), **more}


def _downward() -> list[Object]:
    """First in the list: those that follow may use them."""
    fields = {layout.POD_IP: "status.podIP", layout.POD_NAME: "metadata.name"}
    return [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for name, path in fields.items()
    ]


def _volumes(cluster: ClusterId, role: str, output: ClaimedVolume | None) -> list[Object]:
    """The head says where it answers in a folder of its own; the others read what was planned."""
    secret = {"secretName": cluster, "defaultMode": 0o440}
    # A plain program has no head.
    planned = {"configMap": {"name": head_name(cluster), "optional": role == "driver"}}
    sources: dict[str, Object] = {
        "secrets": {"secret": secret},
        "door": {"secret": {**secret, "items": [{"key": SECRET_FILE, "path": SECRET_FILE}]}},
        "head": {"emptyDir": {}} if role == "head" else planned,
    }
    if output is not None:
        sources["output"] = {"persistentVolumeClaim": {"claimName": output.claim}}
    return [
        {"name": volume.name, **sources.get(volume.name, {"emptyDir": {}})}
        for volume in _VOLUMES
        if role in volume.of or role in volume.files
    ]


def _shared_memory(process: Process) -> list[Object]:
    """What is written there counts as the container's memory."""
    if not process.shared_memory_bytes:
        return []
    source = {"medium": "Memory", "sizeLimit": str(process.shared_memory_bytes)}
    return [{"name": "shared-memory", "emptyDir": source}]


def off_spot_nodes(spot_label: Mapping[str, str]) -> Object:
    """Keep a pod off nodes with this label; their taint, where they have one, would do it too."""
    terms = [
        {"key": label, "operator": "NotIn", "values": [value]}
        for label, value in spot_label.items()
    ]
    if not terms:
        return {}
    required = {"nodeSelectorTerms": [{"matchExpressions": terms}]}
    kind = "requiredDuringSchedulingIgnoredDuringExecution"
    return {"affinity": {"nodeAffinity": {kind: required}}}


def marks_of(tier: HardwareTier) -> dict[str, str]:
    """What a pod notes of its node, by which its loss is told."""
    return {SPOT: "true"} if tier.spot else {}


def _give_up_lost_nodes() -> list[Object]:
    return [
        {
            "key": f"node.kubernetes.io/{taint}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": _UNREACHABLE_S,
        }
        for taint in ("unreachable", "not-ready")
    ]
