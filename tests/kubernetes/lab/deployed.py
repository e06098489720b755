"""The product's own manifests (``deploy``) in a namespace of a lab, on the one real node."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.kinds import DEPLOYMENT, POD_TEMPLATE, Object, kind_of
from tests.kubernetes.lab.place import NODE
from tests.kubernetes.lab.pools.values import BESIDE

_MANIFESTS = Path(__file__).parents[3] / "infra/platforms/kubernetes/deploy"


def install_reaper(here: Api, image: str) -> None:
    """Do what ``kubectl apply`` of the reaper's manifests does."""
    _install(here, "reaper.yaml", image)


def install_flow(here: Api, image: str) -> None:
    """Do what ``kubectl apply`` of the manifests for flows of detached runs does."""
    _install(here, "flow.yaml", image)


def _install(here: Api, manifests: str, image: str) -> None:
    """On a real cluster their node is of no pool that goes to zero; here there is only one."""
    for thing in yaml.safe_load_all((_MANIFESTS / manifests).read_text()):
        if thing["kind"] == DEPLOYMENT.name:
            _place(thing["spec"]["template"], image)
        elif thing["kind"] == POD_TEMPLATE.name:
            _place(thing["template"], image)
        path = kind_of(thing).path(here.namespace, thing["metadata"]["name"])
        query = {"fieldManager": "make-lab", "force": "true"}
        body, content = json.dumps(thing).encode(), "application/apply-patch+yaml"
        here.ask(Request(method="PATCH", path=path, query=query, body=body, content_type=content))


def _place(template: Object, image: str) -> None:
    template.setdefault("metadata", {})["annotations"] = {BESIDE: "true"}
    pod = template["spec"]
    pod["containers"][0]["image"] = image
    pod["nodeSelector"] = {"kubernetes.io/hostname": NODE}
    pod["tolerations"] = [{"operator": "Exists"}]
