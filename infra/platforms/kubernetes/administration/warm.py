"""Warm nodes: pods that hold a pool's nodes free for runs, and make room for them at once.

A placeholder asks for a whole node. Its priority is below that of every pod that names none, so
that the scheduler takes its node for a run's pod, without grace; its Deployment then makes
another, for which the pool grows again. It runs from the pool's own images: its node has them. In
a pool of which only some nodes are spot it is one of the others, where every run has its head.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import yaml

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.hardware import ANY_FRAMEWORK, NodePool
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.kinds import DEPLOYMENT, PRIORITY_CLASS, Object
from ebbtide.infra.platforms.kubernetes.manifests.pods import (
    off_spot_nodes,
    secure_container,
    secure_pod,
)
from ebbtide.infra.platforms.kubernetes.naming import DOMAIN, PLACEHOLDER

WARM = "warm"
"""How this part is asked for."""
PRIORITY = -10
"""Cluster Autoscaler adds no nodes for pods of less (--expendable-pods-priority-cutoff)."""
_FRAMEWORKS_OF_FLOWS = ("flow", "prefect")
_TOLD = """# Holds {what} up and free, for runs. From the catalog (warm: of a pool).
#   ebb doctor --platform kubernetes --print warm | kubectl apply --namespace NAMESPACE -f -
# They count in a quota of that namespace: one without is the better place. Again after a change of
# the catalog; kubectl delete deployment --selector app.kubernetes.io/name={name} ends it.
"""


def placeholders(pools: Iterable[NodePool]) -> str:
    """Write down what keeps the pools' warm nodes.

    Args:
        pools: of the catalog.

    Returns:
        YAML: a PriorityClass, and a Deployment for each pool that has some.

    Raises:
        ConfigurationError: CATALOG_INVALID, none has.
    """
    warm = [pool for pool in pools if pool.warm and pool.node is not None]
    if not warm:
        summary = "no pool of the catalog is to have warm nodes"
        hint = "write warm: 1 to a pool of platform kubernetes, beside nodes"
        raise ConfigurationError([Problem(Reason.CATALOG_INVALID, summary, hint)])
    nodes = ", ".join(f"{pool.warm} of pool {pool.name}" for pool in warm)
    things = [_priority_class(), *map(_deployment, warm)]
    text: str = yaml.safe_dump_all(things, sort_keys=False)
    return _TOLD.format(what=nodes, name=PLACEHOLDER) + text


def _priority_class() -> Object:
    return {
        "apiVersion": PRIORITY_CLASS.api,
        "kind": PRIORITY_CLASS.name,
        "metadata": {"name": PLACEHOLDER, "labels": _labels()},
        "value": PRIORITY,
        "preemptionPolicy": "Never",
        "globalDefault": False,
        "description": "Holds nodes free for Ebb's runs, and makes room for every other pod.",
    }


def _deployment(pool: NodePool) -> Object:
    labels = {**_labels(), f"{DOMAIN}/pool": pool.label_value or pool.name}
    return {
        "apiVersion": DEPLOYMENT.api,
        "kind": DEPLOYMENT.name,
        "metadata": {"name": f"ebb-warm-{_word(pool.name)}", "labels": labels},
        "spec": {
            "replicas": pool.warm,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "Recreate"},  # two of one node's size would need two nodes
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"},
                },
                "spec": _pod(pool),
            },
        },
    }


def _pod(pool: NodePool) -> Object:
    return {
        "priorityClassName": PLACEHOLDER,
        "terminationGracePeriodSeconds": 0,
        "nodeSelector": pool.selector,
        **({} if pool.spot else off_spot_nodes(pool.spot_label)),
        "tolerations": list(pool.tolerations),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": secure_pod(),
        "containers": [
            {
                "name": f"image-{number}",
                "image": image,
                "command": ["sleep", "infinity"],
                "resources": _node(pool) if number == 0 else {},
                "securityContext": secure_container(),
            }
            for number, image in enumerate(_images(pool))
        ],
    }


def _images(pool: NodePool) -> list[str]:
    """Each that the pool names for a framework; where it names none, the one of all."""
    others = (ANY_FRAMEWORK, *_FRAMEWORKS_OF_FLOWS)
    named = dict.fromkeys(pool.image(name) for name in pool.images if name not in others)
    return list(named) or [pool.image("none")]


def _node(pool: NodePool) -> Object:
    node = pool.node
    assert node is not None
    gpus = {pool.gpu_resource: str(node.gpus)} if node.gpus else {}
    asked = {"cpu": f"{node.cpu_millis}m", "memory": str(node.memory_bytes), **gpus}
    return {"requests": asked, **({"limits": gpus} if gpus else {})}


def _word(name: str) -> str:
    """A pool's name as that of an object."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _labels() -> dict[str, str]:
    return {"app.kubernetes.io/name": PLACEHOLDER, "app.kubernetes.io/part-of": "ebb"}
