"""The product's own manifests (``deploy``) in a namespace of a lab, on the one real node."""

from __future__ import annotations

import json

import yaml

from ebbtide.infra.platforms.kubernetes.administration.manifests import manifests_with
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.kinds import DEPLOYMENT, POD_TEMPLATE, Object, kind_of
from tests.kubernetes.lab.place import NODE
from tests.kubernetes.lab.pools.values import BESIDE


def install_reaper(here: Api, image: str) -> None:
    """Install the reaper."""
    install(here, manifests_with("reaper", image))


def install_flow(here: Api, image: str) -> None:
    """Install what flows of detached runs need."""
    install(here, manifests_with("flow", image))


def install(here: Api, printed: str) -> None:
    """Do what ``kubectl apply`` of printed manifests does.

    On a real cluster their node is of no pool that goes to zero; here there is only one.
    """
    for thing in yaml.safe_load_all(printed):
        if thing["kind"] == DEPLOYMENT.name:
            _place(thing["spec"]["template"])
        elif thing["kind"] == POD_TEMPLATE.name:
            _place(thing["template"])
        apply(here, thing)


def apply(here: Api, thing: Object) -> None:
    """Do what ``kubectl apply --server-side`` does of one object."""
    path = kind_of(thing).path(here.namespace, thing["metadata"]["name"])
    query = {"fieldManager": "make-lab", "force": "true"}
    body, content = json.dumps(thing).encode(), "application/apply-patch+yaml"
    here.ask(Request(method="PATCH", path=path, query=query, body=body, content_type=content))


def _place(template: Object) -> None:
    template.setdefault("metadata", {})["annotations"] = {BESIDE: "true"}
    pod = template["spec"]
    pod["nodeSelector"] = {"kubernetes.io/hostname": NODE}
    pod["tolerations"] = [{"operator": "Exists"}]
