"""A cluster as Dask's own operator is asked for it: one DaskCluster, to make the pods of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ebbtide.infra.platforms.kubernetes.kinds import DASK_CLUSTER, Object


def dask_cluster(
    head: Object, workers: Object, service: Mapping[str, Any], labels: Mapping[str, str]
) -> Object:
    """What is asked for in the place of a head's pod and a workers' Deployment.

    Args:
        head: the pod. The operator makes a Deployment of it, which starts it again.
        workers: the Deployment. The operator makes one of one pod for each worker.
        service: the operator's own of the head; ours is there too, by which members find it.
        labels: of the cluster. The operator puts them on all that it makes.

    Returns:
        The DaskCluster, called as the Lease.
    """
    meta, template = head["metadata"], workers["spec"]["template"]
    pod = {name: value for name, value in head["spec"].items() if name != "restartPolicy"}
    return {
        "apiVersion": DASK_CLUSTER.api,
        "kind": DASK_CLUSTER.name,
        "metadata": {
            "name": meta["labels"]["app.kubernetes.io/instance"],
            "namespace": meta["namespace"],
            "labels": dict(labels),
        },
        "spec": {
            "scheduler": {"metadata": _marks(meta), "spec": pod, "service": dict(service)},
            "worker": {
                "metadata": _marks(template["metadata"]),
                "replicas": workers["spec"]["replicas"],
                "spec": template["spec"],
            },
        },
    }


def _marks(metadata: Mapping[str, Any]) -> Object:
    return {"labels": metadata["labels"], "annotations": metadata["annotations"]}
