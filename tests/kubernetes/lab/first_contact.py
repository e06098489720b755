"""What makes ``ebb run hello --platform kubernetes`` work right after ``make lab``.

A context in the user's kubeconfig as kind writes one, a namespace, the real node as a pool that
grows from zero, images, and the catalog of it all. Labs of tests have none of this.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.client import Access
from tests.kubernetes.lab import deployed, node, product_images
from tests.kubernetes.lab.binaries import Say
from tests.kubernetes.lab.place import NODE, Lab
from tests.kubernetes.lab.pools import orders, values
from tests.kubernetes.lab.pools.values import Pool

SPACE, CATALOG, POOL = "ebb", "ebb-catalog", "lab"
TIMERS = replace(orders.QUICK, unneeded_s=10, after_growth_s=10)
"""A pool goes back to zero while somebody watches."""
_IMAGES = ("dask", "none", "flow")
_TESTS = "tests-"
_GI = 2**30
_CONFLICT = 409
_LISTS = ("clusters", "users", "contexts")
_TIERS = {
    "small": {"cpu": "250m", "memory": "512Mi", "price-per-hour": 0.02},
    "medium": {"cpu": "500m", "memory": "1536Mi", "price-per-hour": 0.04},
    "large": {"cpu": "1", "memory": "2Gi", "price-per-hour": 0.08},
}


def prepare(lab: Lab, say: Say, images: Sequence[str] = ()) -> None:
    """Do all of it for this user.

    Args:
        lab: that is up.
        say: progress.
        images: frameworks, beside those whose images are there anyway.
    """
    if _wanted(lab):
        path = kubeconfig_path(os.environ)
        current = prepare_for(lab, path, say, images)
        more = "" if current == context_of(lab) else f" --context {context_of(lab)}"
        say(f"context {context_of(lab)} in {path}; try: ebb run hello --platform kubernetes{more}")


def prepare_for(lab: Lab, path: Path, say: Say, images: Sequence[str] = ()) -> str:
    """Do all of it; what is there already is made what it should be.

    Args:
        lab: that is up.
        path: the user's kubeconfig, which need not be there.
        say: progress.
        images: frameworks, beside those whose images are there anyway.

    Returns:
        The current context of the kubeconfig.
    """
    with config.new_client_from_config(str(lab.kubeconfig)) as api:
        core = client.CoreV1Api(api)
        level = {"pod-security.kubernetes.io/enforce": "restricted"}
        space = {"metadata": {"name": SPACE, "labels": level}}
        _made(lambda: core.create_namespace(space), lambda: core.patch_namespace(SPACE, space))
        pool = pool_of(core.read_node(NODE).status.allocatable)
        node.use_its_metrics(lab, api)  # else the HPA sees what simulated pods are told to use
        orders.set_timers(api, TIMERS)
        orders.make_pool(api, pool)
        wanted = dict.fromkeys([*_IMAGES, *images])
        there = {name: product_images.provide(lab, name, say) for name in wanted}
        catalog = {"metadata": {"name": CATALOG}, "data": {"ebb.yaml": catalog_text(pool, there)}}
        _made(
            lambda: core.create_namespaced_config_map(SPACE, catalog),
            lambda: core.patch_namespaced_config_map(CATALOG, SPACE, catalog),
        )
    with contextlib.closing(Api(Access(kubeconfig=str(lab.kubeconfig), namespace=SPACE))) as here:
        deployed.install_reaper(here, there["flow"])
        deployed.install_flow(here, there["flow"])
    return add_context(path, context_of(lab), json.loads(lab.kubeconfig.read_text()))


def forget(lab: Lab) -> None:
    """Take the context away; everything else goes with the lab."""
    if _wanted(lab):
        remove_context(kubeconfig_path(os.environ), context_of(lab))


def context_of(lab: Lab) -> str:
    """``ebb-lab`` for the lab that has no other name."""
    return f"ebb-{lab.name}"


def pool_of(allocatable: Mapping[str, str]) -> Pool:
    """The real node as the one machine of a pool, from what its kubelet offers."""
    return Pool(
        name=POOL,
        cores=int(values.quantity(allocatable["cpu"])),
        memory_gib=int(values.quantity(allocatable["memory"]) / _GI),
        most=1,
        node=NODE,
    )


def catalog_text(pool: Pool, images: Mapping[str, str]) -> str:
    """The lab's ``ebb.yaml``."""
    shape = {"node-cpu": pool.cores, "node-memory": f"{pool.memory_gib}Gi"}
    nodes = f"{pool.least}..{pool.most}"
    pools = {pool.name: {"platform": "kubernetes", "nodes": nodes, **shape, "images": {**images}}}
    text: str = yaml.safe_dump({"pools": pools, "tiers": _TIERS}, sort_keys=False)
    return text


def kubeconfig_path(environ: Mapping[str, str]) -> Path:
    """The file that kind would write to: the first of KUBECONFIG that is there, or its last."""
    named = [Path(each) for each in environ.get("KUBECONFIG", "").split(os.pathsep) if each]
    usual = Path(environ.get("HOME") or Path.home(), ".kube", "config")
    return next((path for path in named if path.is_file()), named[-1] if named else usual)


def add_context(path: Path, name: str, lab: Mapping[str, Any]) -> str:
    """Merge the lab's cluster, user and context, all of this name; give the current context."""
    with _rewritten(path) as found:
        _take_out(found, name)
        found["clusters"].append({"name": name, "cluster": lab["clusters"][0]["cluster"]})
        found["users"].append({"name": name, "user": lab["users"][0]["user"]})
        context = {"cluster": name, "user": name, "namespace": SPACE}
        found["contexts"].append({"name": name, "context": context})
        found["current-context"] = found.get("current-context") or name
        return str(found["current-context"])


def remove_context(path: Path, name: str) -> None:
    """Take out what ``add_context`` has put there."""
    if not path.is_file():
        return
    with _rewritten(path) as found:
        _take_out(found, name)
        if found.get("current-context") == name:
            found["current-context"] = ""


def _take_out(found: dict[str, Any], name: str) -> None:
    for key in _LISTS:
        found[key] = [each for each in found.get(key) or () if each["name"] != name]


@contextlib.contextmanager
def _rewritten(path: Path) -> Iterator[dict[str, Any]]:
    """A kubeconfig to be changed; written whole or not at all, for its owner's eyes only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    target = path.resolve()
    with target.with_name(f"{target.name}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        text = target.read_text() if target.is_file() else ""
        found = yaml.safe_load(text) or {"apiVersion": "v1", "kind": "Config", "preferences": {}}
        yield found
        draft = target.with_name(f"{target.name}.draft")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            yaml.safe_dump(found, file, sort_keys=False)
        draft.rename(target)
        Path(turn.name).unlink()


def _made(create: Callable[[], object], patch: Callable[[], object]) -> None:
    try:
        create()
    except ApiException as error:
        if error.status != _CONFLICT:
            raise
        patch()


def _wanted(lab: Lab) -> bool:
    return not lab.name.startswith(_TESTS)
