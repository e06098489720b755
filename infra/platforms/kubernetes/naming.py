"""What the objects of a cluster are called, and the labels by which they are found."""

from __future__ import annotations

import hashlib
import re

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import RunSpec

DOMAIN = "ebbtide.dev"
CLUSTER, RUN, ROLE, OWNER = (f"{DOMAIN}/{name}" for name in ("cluster", "run", "role", "owner"))
FRAMEWORK, TIER = f"{DOMAIN}/framework", f"{DOMAIN}/tier"
ENDED_BECAUSE = f"{DOMAIN}/ended-because"
"""An annotation of a driver's pod that we have told to end: reason and detail, as JSON."""
TAGS = f"{DOMAIN}/tags"
"""An annotation: a run has any number of tags, and labels are for few known ones."""
BEGIN = f"{DOMAIN}/begin"
"""An annotation of a driver's pod whose program waits for it: ``stdin`` when it is to read what is
attached to the run, else ``plain``."""
PROGRAM = f"{DOMAIN}/program"
"""An annotation: the name of one more program on a held cluster, whose pod it is."""
OUTPUTS = f"{DOMAIN}/outputs"
"""An annotation of a driver's pod: where its program's ``EBB_OUTPUT_DIR`` goes."""
RELEASING = f"{DOMAIN}/releasing"
"""An annotation of the Lease: why it is being given back; ``ok`` when all went well. What ends from
then on ends by that."""
AWAITED = f"{DOMAIN}/awaited-by"
"""An annotation of the Lease: who would drive the cluster if its holder died, and since when."""
SPOT = f"{DOMAIN}/spot"
"""An annotation of a pod that is for nodes that may be taken away at any time."""
PLACEHOLDER = "ebb-placeholder"
"""The PriorityClass of the pods that keep nodes warm, and what their label says of them."""
PACKAGE = f"{DOMAIN}/package"
"""An annotation of the Lease: the digest of the code that was sent for its cluster."""

_LABEL_LENGTH, _PROGRAM_LENGTH = 63, 20


def head_name(cluster: ClusterId) -> str:
    """Of the head's pod and of the Service by which the others find it."""
    return f"{cluster}-head"


def workers_name(cluster: ClusterId) -> str:
    """Of the workers' Deployment."""
    return f"{cluster}-worker"


def driver_name(cluster: ClusterId) -> str:
    """Of the pod of the user's program."""
    return f"{cluster}-driver"


def program_name(cluster: ClusterId, program: str) -> str:
    """Of the pod of one more program on a held cluster: as like it as a pod may be called."""
    plain = re.sub(r"[^a-z0-9]+", "-", program.lower()).strip("-")[:_PROGRAM_LENGTH]
    if program and plain != program:
        plain = f"{plain}-{hashlib.sha256(program.encode()).hexdigest()[:6]}".lstrip("-")
    return f"{cluster}-program-{plain}"


def selector(cluster: ClusterId, role: str = "") -> dict[str, str]:
    """The labels that all members of a cluster have, or all of one role."""
    return {CLUSTER: cluster, **({ROLE: role} if role else {})}


def labels(spec: RunSpec, cluster: ClusterId, role: str) -> dict[str, str]:
    """The labels of one object: the recommended ones of Kubernetes, and ours.

    Args:
        spec: of the run.
        cluster: its id.
        role: ``head``, ``worker``, ``driver``, or ``cluster`` for what belongs to none of them.

    Returns:
        Names and values, all of them valid.
    """
    return {
        "app.kubernetes.io/name": spec.cluster.framework,
        "app.kubernetes.io/instance": cluster,
        "app.kubernetes.io/component": role,
        "app.kubernetes.io/part-of": "ebb",
        "app.kubernetes.io/managed-by": "ebb",
        CLUSTER: cluster,
        RUN: spec.name,
        ROLE: role,
        FRAMEWORK: spec.cluster.framework,
        TIER: label_value(spec.cluster.tier.name),
        OWNER: label_value(spec.owner),
    }


def label_value(text: str) -> str:
    """The nearest valid value of a label: letters, digits, ``-``, ``_`` and ``.``, 63 at most."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:_LABEL_LENGTH].strip("-_.")
