"""The Job of a detached run, from the pod that an administrator has written down."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.kinds import JOB, SECRET, Object
from ebbtide.infra.platforms.kubernetes.manifests.pods import STAYS
from ebbtide.infra.platforms.kubernetes.naming import OWNER, ROLE, RUN, label_value

CONTAINER = "flow"
NOTHING = "-"
"""In the place of a digest: the image has the program, and no code is sent."""
_MODULE = "ebbtide.infra.lifecycle.detached"
_RESTARTS = 5
"""A flow that dies more often is given up, and with it the Lease lapses."""
_STAYS_S = 60
"""So long the API server keeps a Job that has ended, for its log."""
_SECRETS = "secrets"


def job_name(run: RunName) -> str:
    """Of its Job, and of the Secret with what came from a shell."""
    return f"{run}-flow"


def flow_labels(run: RunName) -> dict[str, str]:
    """The labels by which its pods are found. Not a cluster's: a release must leave them alone."""
    return {RUN: run, ROLE: "flow"}


def job_of(
    template: Object, spec: RunSpec, digest: str, *, secrets: bool, hand_over_s: float
) -> Object:
    """The Job.

    Args:
        template: the PodTemplate, as the API server has it.
        spec: of the run.
        digest: of its package of code; empty: none is sent.
        secrets: whether a Secret of this name has values for it.
        hand_over_s: the Job ends after so many seconds, unless its pod has taken the run over.

    Returns:
        The object.
    """
    name, pod = job_name(spec.name), copy.deepcopy(template["template"])
    labels = {
        "app.kubernetes.io/name": "ebb-flow",
        "app.kubernetes.io/instance": spec.name,
        "app.kubernetes.io/component": "flow",
        "app.kubernetes.io/part-of": "ebb",
        "app.kubernetes.io/managed-by": "ebb",
        OWNER: label_value(spec.owner),
        **flow_labels(spec.name),
    }
    metadata = pod.get("metadata") or {}
    pod["metadata"] = {
        "labels": {**(metadata.get("labels") or {}), **labels},
        "annotations": {**STAYS, **(metadata.get("annotations") or {})},
    }
    container = next(each for each in pod["spec"]["containers"] if each["name"] == CONTAINER)
    container["args"] = ["python", "-P", "-m", _MODULE, spec.name, digest or NOTHING]
    if secrets:
        source = {"secretName": name, "defaultMode": 0o440}
        pod["spec"]["volumes"].append({"name": _SECRETS, "secret": source})
        mount = {"name": _SECRETS, "mountPath": str(layout.SECRETS), "readOnly": True}
        container["volumeMounts"].append(mount)
    return {
        "apiVersion": JOB.api,
        "kind": JOB.name,
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "backoffLimit": _RESTARTS,
            "activeDeadlineSeconds": round(hand_over_s),
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
