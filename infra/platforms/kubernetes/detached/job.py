"""The Job of a detached run, from the pod that an administrator has written down."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.platforms.extras import FlowOrder
from ebbtide.infra.platforms.kubernetes.kinds import JOB, SECRET, Object
from ebbtide.infra.platforms.kubernetes.manifests.pods import STAYS
from ebbtide.infra.platforms.kubernetes.naming import OWNER, ROLE, RUN, label_value

CONTAINER = "flow"
"""In which the flow is, of a pod that is made from our PodTemplate; else in the first."""
NOTHING = "-"
"""In the place of a digest: the image has the program, and no code is sent."""
_MODULE = "ebbtide.infra.lifecycle.detached"
_RESTARTS = 5
"""A flow that dies more often is given up, and with it the Lease lapses."""
_STAYS_S = 60
"""So long the API server keeps a Job that has ended, for its log."""


def job_name(run: RunName) -> str:
    """Of its Job, and of the Secret with what came from a shell."""
    return f"{run}-flow"


def flow_labels(run: RunName) -> dict[str, str]:
    """The labels by which its pods are found. Not a cluster's: a release must leave them alone."""
    return {RUN: run, ROLE: "flow"}


def container_of(pod: Object) -> str:
    """The name of the container in which the flow is."""
    names = [str(each["name"]) for each in pod["spec"]["containers"]]
    return CONTAINER if CONTAINER in names else names[0]


def job_of(template: Object, spec: RunSpec, digest: str, *, hand_over_s: float) -> Object:
    """The Job.

    Args:
        template: the PodTemplate, as the API server has it.
        spec: of the run.
        digest: of its package of code; empty: none is sent.
        hand_over_s: the Job ends after so many seconds, unless its pod has taken the run over.

    Returns:
        The object.
    """
    order = FlowOrder(spec.name, digest or NOTHING, round(hand_over_s))
    job = ordered_job(template, order, _MODULE)
    for metadata in (job["metadata"], job["spec"]["template"]["metadata"]):
        metadata["labels"][OWNER] = label_value(spec.owner)
    return job


def ordered_job(template: Object, order: FlowOrder, module: str) -> Object:
    """The Job of a flow.

    Args:
        template: a PodTemplate.
        order: what is the flow's own; it may be in words that are filled in later.
        module: the program of the flow.

    Returns:
        The object.
    """
    pod = copy.deepcopy(template["template"])
    labels: dict[str, Any] = {
        "app.kubernetes.io/name": "ebb-flow",
        "app.kubernetes.io/instance": order.run,
        "app.kubernetes.io/component": "flow",
        "app.kubernetes.io/part-of": "ebb",
        "app.kubernetes.io/managed-by": "ebb",
        **flow_labels(RunName(order.run)),
    }
    metadata = pod.get("metadata") or {}
    pod["metadata"] = {
        "labels": {**(metadata.get("labels") or {}), **labels},
        "annotations": {**STAYS, **(metadata.get("annotations") or {})},
    }
    container = next(each for each in pod["spec"]["containers"] if each["name"] == CONTAINER)
    container["args"] = ["python", "-P", "-m", module, order.run, order.digest]
    return {
        "apiVersion": JOB.api,
        "kind": JOB.name,
        "metadata": {"name": job_name(RunName(order.run)), "labels": labels},
        "spec": {
            "backoffLimit": _RESTARTS,
            "activeDeadlineSeconds": order.hand_over_s,
            "ttlSecondsAfterFinished": _STAYS_S,
            "template": pod,
        },
    }


def secret_of(job: Object, values: Mapping[str, str]) -> Object:
    """The Secret with values from a shell, which goes with the Job.

    Args:
        job: as the API server has it.
        values: by the name of the variable.

    Returns:
        The object.
    """
    metadata = job["metadata"]
    owner = {"apiVersion": JOB.api, "kind": JOB.name, "name": metadata["name"]}
    return {
        "apiVersion": SECRET.api,
        "kind": SECRET.name,
        "metadata": {
            "name": metadata["name"],
            "labels": metadata["labels"],
            "ownerReferences": [{**owner, "uid": metadata["uid"]}],
        },
        "stringData": dict(values),
    }
