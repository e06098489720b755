"""The product's reaper in a namespace of a lab: its own manifests, on the one real node."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.kinds import DEPLOYMENT
from tests.kubernetes.lab.place import NODE
from tests.kubernetes.lab.pools.values import BESIDE

MANIFESTS = Path(__file__).parents[3] / "infra/platforms/kubernetes/deploy/reaper.yaml"
_RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}"
_PATHS = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": f"{_RBAC}/roles",
    "RoleBinding": f"{_RBAC}/rolebindings",
    DEPLOYMENT.name: "/apis/apps/v1/namespaces/{}/deployments",
}


def install(here: Api, image: str) -> None:
    """Do what ``kubectl apply`` of the manifests does.

    On a real cluster the reaper's node is of no pool that goes to zero; here there is only one.

    Args:
        here: the namespace.
        image: as the lab's node knows it.
    """
    for thing in yaml.safe_load_all(MANIFESTS.read_text()):
        if thing["kind"] == DEPLOYMENT.name:
            template = thing["spec"]["template"]
            template["metadata"]["annotations"] = {BESIDE: "true"}
            pod = template["spec"]
            pod["containers"][0]["image"] = image
            pod["nodeSelector"] = {"kubernetes.io/hostname": NODE}
            pod["tolerations"] = [{"operator": "Exists"}]
        path = f"{_PATHS[thing['kind']].format(here.namespace)}/{thing['metadata']['name']}"
        query = {"fieldManager": "make-lab", "force": "true"}
        body, content = json.dumps(thing).encode(), "application/apply-patch+yaml"
        here.ask(Request(method="PATCH", path=path, query=query, body=body, content_type=content))
