"""The kinds of objects that are asked for, and where the API server has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""An object as the API server spells it in JSON."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object."""

    api: str
    """Group and version, such as ``apps/v1``; ``v1`` for the core."""
    name: str
    """In the singular, as in ``kind``."""
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """Without the version; empty for the core."""
        return self.api.rpartition("/")[0]

    def path(self, namespace: str, name: str = "", part: str = "") -> str:
        """Return the URL path of all objects of this kind, of one, or of a part of one.

        Args:
            namespace: ignored for a kind that has none.
            name: of the object; empty for all.
            part: such as ``log``, ``exec`` or ``scale``.

        Returns:
            The path, from the server's root.
        """
        root = f"/apis/{self.api}" if self.group else f"/api/{self.api}"
        place = f"/namespaces/{namespace}" if self.namespaced else ""
        return "/".join(filter(None, (f"{root}{place}/{self.plural}", name, part)))


POD = Kind("v1", "Pod", "pods")
SERVICE = Kind("v1", "Service", "services")
SECRET = Kind("v1", "Secret", "secrets")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
POD_TEMPLATE = Kind("v1", "PodTemplate", "podtemplates")
EVENT = Kind("v1", "Event", "events")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
VOLUME_CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
RESOURCE_QUOTA = Kind("v1", "ResourceQuota", "resourcequotas")
NODE = Kind("v1", "Node", "nodes", namespaced=False)
PRIORITY_CLASS = Kind("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", namespaced=False)
EVERY_POD = Kind("v1", "Pod", "pods", namespaced=False)
"""Those of all namespaces, to be listed."""
NAMESPACE = Kind("v1", "Namespace", "namespaces", namespaced=False)
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
JOB = Kind("batch/v1", "Job", "jobs")
REPLICA_SET = Kind("apps/v1", "ReplicaSet", "replicasets")
AUTOSCALER = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
ROLE = Kind("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
NODE_CLAIM = Kind("karpenter.sh/v1", "NodeClaim", "nodeclaims", namespaced=False)
DASK_CLUSTER = Kind("kubernetes.dask.org/v1", "DaskCluster", "daskclusters")
POD_METRICS = Kind("metrics.k8s.io/v1beta1", "PodMetrics", "pods")
NODE_METRICS = Kind("metrics.k8s.io/v1beta1", "NodeMetrics", "nodes", namespaced=False)
ACCESS_REVIEW = Kind(
    "authorization.k8s.io/v1",
    "SelfSubjectAccessReview",
    "selfsubjectaccessreviews",
    namespaced=False,
)

_KINDS = (
    *(POD, SERVICE, SECRET, CONFIG_MAP, EVENT, SERVICE_ACCOUNT, RESOURCE_QUOTA, NODE, NAMESPACE),
    *(LEASE, JOB, POD_TEMPLATE, DEPLOYMENT, REPLICA_SET, AUTOSCALER, BUDGET, NETWORK_POLICY),
    *(ROLE, ROLE_BINDING, PRIORITY_CLASS),
    *(NODE_CLAIM, DASK_CLUSTER, POD_METRICS, ACCESS_REVIEW),
)


def kind_of(thing: Mapping[str, Any]) -> Kind:
    """Return the kind of an object.

    Raises:
        KeyError: for one that is not listed here.
    """
    return {(kind.api, kind.name): kind for kind in _KINDS}[thing["apiVersion"], thing["kind"]]


def selectors(labels: Mapping[str, str] | None, fields: str) -> dict[str, str]:
    """The query that picks objects by labels (a value of ``*``: the label is there) and fields."""
    query = {}
    if labels:
        terms = (name if value == "*" else f"{name}={value}" for name, value in labels.items())
        query["labelSelector"] = ",".join(terms)
    if fields:
        query["fieldSelector"] = fields
    return query
