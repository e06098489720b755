"""The node pools that ``ebb.yaml`` names: this machine's shares, and nodes of a Kubernetes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ebbtide.infra.models.hardware import (
    ANY_FRAMEWORK,
    GPU_LABEL,
    GPU_RESOURCE,
    NODE_WITHIN_S,
    POOL_LABEL,
    PULL_WITHIN_S,
    SPOT_NOTICE_S,
    NodePool,
    Taint,
)
from ebbtide.infra.models.resources import Resources, parse_cpu, parse_duration_s, parse_memory
from ebbtide.infra.request.ebb_yaml.file import File
from ebbtide.infra.request.ebb_yaml.keys import NODES, POOL
from ebbtide.infra.request.gpus import MachineGpus
from ebbtide.infra.request.hints import did_you_mean
from ebbtide.infra.request.option_values import parse_switch

LOCAL, KUBERNETES = PLATFORMS = ("local", "kubernetes")
MEMORY_SHARE = 0.8
"""Of this machine's memory; the rest is the system's and the user's."""

_MIB = 2**20
_WAITING_BYTES, _MIN_WAITING = 256 * _MIB, 10
"""Of the machine's memory for each run that may wait: its processes are there while it does."""
_SHAPE_KEYS = ("nodes", "node-cpu", "node-memory")
_IMAGES = "docker.io/ebbtide/ebb-{{framework}}:{version}"
"""Of a release, for a pool that names none."""
_LABEL = r"(?:[A-Za-z0-9.-]{1,253}/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_VALUE = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_MIN_NOTICE_S = 15.0
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def read_pools(
    file: File, value: Any, machine: Resources, usual: str = LOCAL
) -> tuple[NodePool, ...]:
    """Read the pools; this machine is one when none is named.

    Args:
        file: that is read.
        value: of its key ``pools``.
        machine: what this machine has.
        usual: the platform of a pool that names none.

    Returns:
        The pools; what is wrong with them is in ``file``.
    """
    share = Resources(machine.cpu_millis, math.floor(machine.memory_bytes * MEMORY_SHARE))
    pools = file.mapping("pools", value) or ({LOCAL: None} if usual == LOCAL else {})
    return tuple(_pool(file, name, body, share, usual) for name, body in pools.items())


def with_devices(
    pools: tuple[NodePool, ...], asking: Collection[str], find: Callable[[], MachineGpus]
) -> tuple[NodePool, ...]:
    """Return the pools with the GPUs of this machine, where a tier of it asks for some.

    Args:
        pools: as they are written down.
        asking: the names of pools of which a tier asks for GPUs.
        find: looks for them; called only when such a pool is of this machine.

    Returns:
        The pools. Where there are no GPUs, those say why.
    """
    here = {pool.name for pool in pools if pool.platform == LOCAL and pool.name in asking}
    if not here:
        return pools
    found = find()
    return tuple(_with_devices(pool, found) if pool.name in here else pool for pool in pools)


def _with_devices(pool: NodePool, found: MachineGpus) -> NodePool:
    capacity = replace(pool.capacity, gpus=len(found.devices))
    return replace(pool, capacity=capacity, devices=found.devices, no_gpus=found.missing)


def count(text: str) -> int:
    """A number of runs, one or more.

    Raises:
        ValueError: it is something else.
    """
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is not a number of runs; write 1 or more, or leave it out")
    return int(text)


def parse_gpus(text: str) -> int:
    """A number of GPUs, 0 or more.

    Raises:
        ValueError: it is something else.
    """
    return _from_zero(text, "GPUs")


def _warm_nodes(text: str) -> int:
    return _from_zero(text, "nodes")


def _from_zero(text: str, what: str) -> int:
    if not text.strip().isdecimal():
        raise ValueError(f"{text!r} is not a number of {what}; write a whole number like 1")
    return int(text)


def parse_taint(text: str) -> Taint:
    """A taint as ``kubectl taint`` spells it: ``dedicated=ebb:NoSchedule``.

    Raises:
        ValueError: it is something else.
    """
    match = re.fullmatch(rf"({_LABEL})(?:=({_VALUE})?)?(?::(\w+))?", text.strip())
    if not match or match[3] not in (None, *_EFFECTS):
        hint = f"write it like dedicated=ebb:NoSchedule; effects: {', '.join(_EFFECTS)}"
        raise ValueError(f"{text!r} is not a taint; {hint}")
    return Taint(key=match[1], value=match[2] or "", effect=match[3] or "")


def parse_nodes(text: str) -> tuple[int, int]:
    """Lowest and highest number of nodes from ``0..10``, or from ``3`` (always three).

    Raises:
        ValueError: it is something else.
    """
    match = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", text.strip())
    low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if low > high or high < 1:
        raise ValueError(f"{text!r} is not a number of nodes; write it like 0..10 or 3")
    return low, high


def _pool(file: File, name: str, body: Any, share: Resources, usual: str) -> NodePool:
    where = f"pools.{name}"
    keys = file.mapping(where, body, (*POOL, *NODES))
    platform = file.parsed(f"{where}.platform", keys.get("platform"), _platform, usual)
    waiting = None
    if platform == LOCAL:
        waiting = max(_MIN_WAITING, share.memory_bytes // _WAITING_BYTES)
        keys = {"cpu": f"{share.cpu_millis}m", "memory": share.memory_bytes, **keys}
        for key in [key for key in keys if key in NODES]:
            file.add(f"{where}.{key}", "only a pool of platform kubernetes has it", "leave it out")
    nodes = _nodes(file, where, keys) if platform == KUBERNETES else {}
    return NodePool(
        name=name,
        platform=platform,
        capacity=_capacity(file, where, keys, nodes),
        runs_per_owner=file.parsed(
            f"{where}.runs-per-owner", keys.get("runs-per-owner"), count, None
        ),
        runs_waiting=file.parsed(f"{where}.runs-waiting", keys.get("runs-waiting"), count, waiting),
        **nodes,
    )


def _nodes(file: File, where: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """What a pool of nodes has beside any pool."""
    found: dict[str, Any] = {}
    if any(key in keys for key in _SHAPE_KEYS):
        place = f"{where}.node"
        cpu = file.needed(f"{place}-cpu", keys.get("node-cpu"), parse_cpu, "node-cpu: 8")
        memory = file.needed(
            f"{place}-memory", keys.get("node-memory"), parse_memory, "node-memory: 32Gi"
        )
        gpus = file.parsed(f"{place}-gpus", keys.get("node-gpus"), parse_gpus, 0)
        found["node"] = Resources(cpu, memory, gpus)
        if keys.get("nodes") is None:
            file.add(f"{place}s", "it is missing", "write it like nodes: 0..10")
        low, high = file.parsed(f"{place}s", keys.get("nodes"), parse_nodes, (0, 1))
        found |= {"min_nodes": low, "max_nodes": high}
        found["warm"] = file.parsed(f"{where}.warm", keys.get("warm"), _warm_nodes, 0)
        if found["warm"] > high:
            text = f"it is more than the {high} nodes that the pool can have"
            file.add(f"{where}.warm", text, f"write at most {high}")
    elif "warm" in keys:
        file.add(f"{where}.warm", "its nodes are not known", "write nodes, node-cpu, node-memory")
    texts = file.strings(f"{where}.taints", keys.get("taints"), "[dedicated=ebb:NoSchedule]")
    taints = [file.parsed(f"{where}.taints", text, parse_taint, None) for text in texts]
    return {
        **found,
        "node_within_s": file.parsed(
            f"{where}.node-within", keys.get("node-within"), parse_duration_s, NODE_WITHIN_S
        ),
        "pull_within_s": file.parsed(
            f"{where}.pull-within", keys.get("pull-within"), parse_duration_s, PULL_WITHIN_S
        ),
        "label": file.parsed(f"{where}.label", keys.get("label"), _label, POOL_LABEL),
        "gpu_label": file.parsed(f"{where}.gpu-label", keys.get("gpu-label"), _label, GPU_LABEL),
        "gpu_resource": file.parsed(
            f"{where}.gpu-resource", keys.get("gpu-resource"), _resource, GPU_RESOURCE
        ),
        "label_value": file.parsed(f"{where}.value", keys.get("value"), label_value, ""),
        "taints": tuple(filter(None, taints)),
        "images": _images(file, where, keys),
        **_spot(file, where, keys),
    }


def _spot(file: File, where: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Which of its nodes may be taken away, and how long before that is said."""
    example = "[kubernetes.azure.com/scalesetpriority=spot:NoSchedule]"
    texts = file.strings(f"{where}.spot-taints", keys.get("spot-taints"), example)
    taints = [file.parsed(f"{where}.spot-taints", text, parse_taint, None) for text in texts]
    return {
        "spot": file.parsed(f"{where}.spot", keys.get("spot"), parse_switch, False),
        "spot_label": file.parsed(f"{where}.spot-label", keys.get("spot-label"), _assigned, {}),
        "spot_taints": tuple(filter(None, taints)),
        "spot_notice_s": file.parsed(
            f"{where}.spot-notice", keys.get("spot-notice"), _notice_s, SPOT_NOTICE_S
        ),
    }


def _capacity(
    file: File, where: str, keys: Mapping[str, Any], nodes: Mapping[str, Any]
) -> Resources:
    """All nodes together, unless the pool says less; what it says where nodes are not known."""
    given = {key: keys.get(key) for key in ("cpu", "memory", "gpus")}
    if "node" in nodes:
        whole = nodes["node"].times(nodes["max_nodes"])
        given = {
            key: default if given[key] is None else given[key]
            for key, default in (
                ("cpu", f"{whole.cpu_millis}m"),
                ("memory", whole.memory_bytes),
                ("gpus", whole.gpus),
            )
        }
    cpu = file.needed(f"{where}.cpu", given["cpu"], parse_cpu, "cpu: 8")
    memory = file.needed(f"{where}.memory", given["memory"], parse_memory, "memory: 32Gi")
    return Resources(cpu, memory, file.parsed(f"{where}.gpus", given["gpus"], parse_gpus, 0))


def _images(file: File, where: str, keys: Mapping[str, Any]) -> dict[str, str]:
    """The image of each framework that has one of its own, and that of all others."""
    every = file.parsed(f"{where}.image", keys.get("image"), _image, _usual_image())
    images = file.mapping(f"{where}.images", keys.get("images"))
    own = {
        name: file.parsed(f"{where}.images.{name}", text, _image, "")
        for name, text in images.items()
    }
    return {ANY_FRAMEWORK: every, **own}


def _usual_image() -> str:
    """By the version that is installed; empty where its code is and it is not, as in our images."""
    try:
        return _IMAGES.format(version=version("ebbtide"))
    except PackageNotFoundError:
        return ""


def _platform(text: str) -> str:
    if text not in PLATFORMS:
        hint = did_you_mean(text, PLATFORMS, otherwise=f"platforms: {', '.join(PLATFORMS)}")
        raise ValueError(f"no platform is named {text}; {hint}")
    return text


def _label(text: str) -> str:
    if not re.fullmatch(_LABEL, text):
        raise ValueError(f"{text!r} is not a label; write it like {POOL_LABEL}")
    return text


def _assigned(text: str) -> dict[str, str]:
    label, _, value = text.strip().partition("=")
    if not re.fullmatch(_LABEL, label) or not re.fullmatch(_VALUE, value):
        hint = "write it like karpenter.sh/capacity-type=spot"
        raise ValueError(f"{text!r} is not a label with its value; {hint}")
    return {label: value}


def _notice_s(text: str) -> float:
    seconds = parse_duration_s(text)
    if seconds < _MIN_NOTICE_S:
        minimum = f"{_MIN_NOTICE_S:.0f}s"
        raise ValueError(
            f"{text!r} is too short for a worker to leave in; the minimum is {minimum}"
        )
    return seconds


def _resource(text: str) -> str:
    if not re.fullmatch(_LABEL, text) or "/" not in text:
        raise ValueError(f"{text!r} is not an extended resource; write it like {GPU_RESOURCE}")
    return text


def label_value(text: str) -> str:
    """The value of a label of nodes.

    Raises:
        ValueError: no label can have it.
    """
    if not re.fullmatch(_VALUE, text):
        raise ValueError(f"{text!r} is not the value of a label; write letters, digits, - . _")
    return text


def _image(text: str) -> str:
    if not text.strip() or re.search(r"\s", text.strip()):
        raise ValueError(f"{text!r} is not an image; write it like registry.example/ebb-dask:1.0")
    return text.strip()
