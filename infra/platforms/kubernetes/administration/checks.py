"""What ``ebb doctor --platform kubernetes`` looks at, and how to mend each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any

from ebbtide.infra.errors import EbbError
from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.platforms.extras import Finding
from ebbtide.infra.platforms.kubernetes.administration.asking import Asks, label_of
from ebbtide.infra.platforms.kubernetes.administration.catalog import NAME
from ebbtide.infra.platforms.kubernetes.administration.images import seen_images
from ebbtide.infra.platforms.kubernetes.administration.rights import OPERATOR_RIGHTS, RIGHTS, Right
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import NOT_FOUND, ApiError, as_ebb_error
from ebbtide.infra.platforms.kubernetes.client import Connection, Request
from ebbtide.infra.platforms.kubernetes.connections import access_of, connected
from ebbtide.infra.platforms.kubernetes.kinds import (
    CONFIG_MAP,
    DASK_CLUSTER,
    DEPLOYMENT,
    NAMESPACE,
    NODE,
    POD_TEMPLATE,
    SERVICE_ACCOUNT,
    Object,
)
from ebbtide.infra.platforms.kubernetes.nodes import allocatable, is_ready
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s

OLDEST = (1, 29)
"""Of API servers."""
REAPER = "ebb-reaper"
"""The Deployment that releases what nobody owns."""
FLOW = "ebb-flow"
"""The ServiceAccount of flows in the namespace, and the PodTemplate that they are made from."""
POD_SECURITY = "pod-security.kubernetes.io/enforce"
_PRINTED = "ebb doctor --platform kubernetes --print"
_SKEW_S = 5.0
_AT_ONCE = 8
_UNAVAILABLE = 503
"""Of an API that is registered and has nobody behind it."""
_METRICS = "/apis/metrics.k8s.io/v1beta1"
_STATUS = CONFIG_MAP.path("kube-system", "cluster-autoscaler-status")
_KARPENTER = "/apis/karpenter.sh/v1/nodepools"


def checks(settings: Settings, pools: Iterable[NodePool]) -> list[Finding]:
    """Look at the Kubernetes that is in use.

    Args:
        settings: which it is.
        pools: of the catalog.

    Returns:
        Every finding; only the first ones when there is no way to the API server.
    """
    access = access_of(settings)
    try:
        connection = Connection(access)
    except EbbError as error:
        return [Finding("access", "missing", error.summary, error.hint)]
    try:
        answer = connection.send(Request(path="/version"))
    except ApiError as error:
        told = as_ebb_error(error, doing=f"reach {connection.server}")
        fix = told.hint or "kubectl get --raw /version asks the same"
        return [Finding("access", "missing", told.detail or told.summary, fix)]
    finally:
        connection.close()
    place = f"{connection.server}, namespace {connection.namespace}"
    found = [
        Finding("access", "ok", place),
        version(answer.json()),
        clock(answer.headers.get("Date", ""), wall_s()),
    ]
    return [*found, *_of_namespace(connected(settings), list(pools))]


def version(told: Mapping[str, Any]) -> Finding:
    """Check the API server's version, from its answer at ``/version``."""
    numbers = [re.sub(r"\D", "", str(told.get(part, ""))) for part in ("major", "minor")]
    found = tuple(int(number or 0) for number in numbers)
    detail = str(told.get("gitVersion", "not known"))
    if found >= OLDEST:
        return Finding("version", "ok", detail)
    oldest = ".".join(map(str, OLDEST))
    return Finding("version", "missing", detail, f"upgrade the API server to {oldest} or newer")


def clock(date: str, now_s: float) -> Finding:
    """Compare the API server's clock with ours.

    Args:
        date: the header of an answer.
        now_s: our clock, Unix time.

    Returns:
        The finding.
    """
    try:
        skew_s = parsedate_to_datetime(date).timestamp() - now_s
    except (TypeError, ValueError):
        return Finding("clock", "ok", "the API server does not tell its own")
    if abs(skew_s) <= _SKEW_S:
        return Finding("clock", "ok", "as the API server's")
    side = "ahead of" if skew_s < 0 else "behind"
    detail = f"this machine's clock is {abs(skew_s):.0f}s {side} the API server's"
    fix = "set it by NTP; leases hold all the same, but times of events are off"
    return Finding("clock", "warning", detail, fix)


def rights(api: Asks, asked: Iterable[Right] = RIGHTS) -> list[Finding]:
    """Ask the API server for each verb; see ``RIGHTS``.

    Args:
        api: of the namespace.
        asked: which rights.

    Returns:
        One finding when all are there, else one for each kind.
    """
    asked = tuple(asked)
    pairs = [(right, verb) for right in asked for verb in right.verbs]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        answers = threads.map(lambda p: api.may(p[1], p[0].kind, p[0].part), pairs)
        refused = [pair for pair, allowed in zip(pairs, answers, strict=True) if not allowed]
    if not refused:
        return [Finding("rights", "ok", f"all {len(pairs)} verbs in {api.namespace}")]
    found = []
    for right in dict.fromkeys(right for right, _ in refused):
        verbs = [verb for each, verb in refused if each == right]
        where = f"in {api.namespace}" if right.kind.namespaced else "in the whole cluster"
        detail = f"may not {', '.join(verbs)} {right.shown} {where}"
        group = f", apiGroups [{right.kind.group!r}]"
        role = "Role" if right.kind.namespaced else "ClusterRole"
        fix = f"grant it by a {role}: resources [{right.resource}]{group}, verbs {verbs}"
        if right.without:
            found.append(Finding("rights", "warning", f"{detail}: {right.without}", fix))
        else:
            found.append(Finding("rights", "missing", detail, fix))
    return found


def metrics(api: Asks) -> Finding:
    """Check that the HPA has figures to go by."""
    if _found(api, _METRICS) is not None:
        return Finding("metrics API", "ok", "answers")
    fix = "install metrics-server; kubectl get apiservice v1beta1.metrics.k8s.io says how it is"
    return Finding("metrics API", "warning", "the HPA has no CPU and memory to go by", fix)


def autoscaler(api: Asks) -> Finding:
    """Find out who grows pools."""
    told = _found(api, _STATUS)
    if told is not None:
        status = str((told.get("data") or {}).get("status"))
        if "Running" in status or "Healthy" in status:
            return Finding("autoscaler", "ok", "Cluster Autoscaler")
        fix = "kubectl -n kube-system get cm cluster-autoscaler-status -o yaml"
        return Finding("autoscaler", "warning", "Cluster Autoscaler is not well", fix)
    told = _found(api, _KARPENTER)
    if told is not None:
        names = [_name(each) for each in told["items"]]
        if names:
            return Finding("autoscaler", "ok", f"Karpenter, with NodePools {', '.join(names)}")
        fix = "make a NodePool whose template has the pool's label"
        return Finding("autoscaler", "warning", "Karpenter has no NodePool", fix)
    detail = "none was seen: pools keep the nodes they have"
    fix = "install Cluster Autoscaler or Karpenter; where there is one, let its status be read"
    return Finding("autoscaler", "warning", detail, fix)


def pool(api: Asks, asked: NodePool, *, grows: bool) -> Finding:
    """Check one pool of the catalog.

    Args:
        api: of the cluster.
        asked: the pool.
        grows: whether an autoscaler was seen.

    Returns:
        The finding.
    """
    name = f"pool {asked.name}"
    label = label_of(asked)
    try:
        query = {"labelSelector": label}
        nodes = api.ask(Request(path=NODE.path(""), query=query))["items"]
    except ApiError as error:
        fix = "grant list on nodes by a ClusterRole"
        return Finding(name, "warning", f"its nodes cannot be seen: {error.message}", fix)
    if nodes:
        return _of_nodes(name, asked, nodes)
    limit = f", {asked.max_nodes} at most" if asked.max_nodes else ""
    if grows:
        return Finding(name, "ok", f"no node now; grows from zero by label {label}{limit}")
    fix = f"kubectl label node NODE {label}, or name the label your nodes have in the catalog"
    return Finding(name, "missing", f"no node has the label {label}", fix)


def security(api: Asks) -> Finding:
    """Check what the namespace lets pods do."""
    name = api.namespace
    try:
        found: Object = api.ask(Request(path=NAMESPACE.path("", name)))
    except ApiError as error:
        if error.status == NOT_FOUND:
            fix = f"kubectl create namespace {name}"
            return Finding("namespace", "missing", f"there is no namespace {name}", fix)
        return Finding("namespace", "ok", f"{name}; its labels cannot be seen")
    level = found["metadata"].get("labels", {}).get(POD_SECURITY, "")
    if level in ("restricted", "baseline"):
        return Finding("namespace", "ok", f"{name}, Pod Security {level}")
    detail = f"{name} lets pods have privileges; Ebb's need none"
    fix = f"kubectl label namespace {name} {POD_SECURITY}=restricted"
    return Finding("namespace", "warning", detail, fix)


def reaper(api: Asks) -> Finding:
    """Check that somebody releases what nobody owns, when everything of the user's is dead."""
    found = _found(api, DEPLOYMENT.path(api.namespace, REAPER))
    if found is None:
        detail = "what loses everybody who drives it stays until somebody's ebb releases it"
        fix = f"{_PRINTED} reaper | kubectl apply -n {api.namespace} -f -"
        return Finding("reaper", "warning", detail, fix)
    if found.get("status", {}).get("readyReplicas"):
        return Finding("reaper", "ok", f"Deployment {REAPER} runs")
    fix = f"kubectl -n {api.namespace} describe deployment {REAPER}"
    return Finding("reaper", "warning", f"Deployment {REAPER} has no pod that is ready", fix)


def flow(api: Asks) -> Finding:
    """Check that the flow of a detached run can live in the namespace."""
    here = api.namespace
    for kind in (SERVICE_ACCOUNT, POD_TEMPLATE):
        if _found(api, kind.path(here, FLOW)) is None:
            detail = "what ebb run --detach starts needs this machine: it must stay on"
            fix = f"{_PRINTED} flow | kubectl apply -n {here} -f -"
            return Finding("detached runs", "warning", f"no {kind.name} {FLOW}: {detail}", fix)
    return Finding("detached runs", "ok", f"their flows live in {here}")


def operator(api: Asks) -> Finding:
    """Check that clusters can be asked of Dask's operator, where the catalog wants it.

    Whether it runs cannot be seen: it lives in a namespace of its own.
    """
    if _found(api, f"/apis/{DASK_CLUSTER.api}") is not None:
        return Finding("Dask's operator", "ok", f"{DASK_CLUSTER.api} is there; pods are its")
    detail = f"it is not installed: there is no {DASK_CLUSTER.api}"
    fix = "install its Helm chart dask-kubernetes-operator, or take dask: {mode: operator} away"
    return Finding("Dask's operator", "missing", detail, fix)


def _of_namespace(api: Api, pools: list[NodePool]) -> list[Finding]:
    """What needs an API server that answers; one that stops answering is said once."""
    grows = Finding("autoscaler", "warning", "")
    found: list[Finding] = []
    by_operator = any(each.dask_operator for each in pools)
    steps: tuple[Callable[[], Iterable[Finding]], ...] = (
        lambda: [security(api)],
        lambda: rights(api, (*RIGHTS, *(OPERATOR_RIGHTS if by_operator else ()))),
        lambda: [metrics(api)],
    )
    try:
        for step in steps:
            found += step()
        grows = autoscaler(api)
        found.append(grows)
        here = [each for each in pools if each.platform == "kubernetes"]
        found += [pool(api, each, grows=grows.state == "ok") for each in here] or [_no_pool(api)]
        found += [seen_images(api, each) for each in here if each.images]
        asked = [operator(api)] if by_operator else []
        return [*found, *asked, reaper(api), flow(api)]
    except ApiError as error:
        told = as_ebb_error(error)
        return [*found, Finding("access", "missing", told.detail or told.summary, told.hint)]


def _no_pool(api: Asks) -> Finding:
    detail = "no pool of platform kubernetes is written down"
    fix = f"write pools and tiers in ebb.yaml, or in ConfigMap {NAME} of {api.namespace}"
    return Finding("pools", "missing", detail, f"{fix} (key ebb.yaml)")


def _of_nodes(name: str, asked: NodePool, nodes: list[Object]) -> Finding:
    ready = sum(is_ready(node) for node in nodes)
    detail = f"{len(nodes)} nodes, {ready} ready"
    offers = [allocatable(node, asked.gpu_resource) for node in nodes]
    if asked.node and not any(asked.node.fits_in(offer) for offer in offers):
        largest = max(offers, key=lambda offer: (offer.cpu_millis, offer.memory_bytes))
        detail += f"; none offers {asked.node}, as the catalog says: the largest has {largest}"
        return Finding(name, "warning", detail, "write what a node offers: node-cpu, node-memory")
    if not ready:
        return Finding(name, "warning", detail, f"kubectl describe node {_name(nodes[0])}")
    return Finding(name, "ok", detail)


def _name(node: Object) -> str:
    return str(node["metadata"]["name"])


def _found(api: Asks, path: str) -> Any:
    """Return what lies there; None when it is not there or may not be seen.

    Raises:
        ApiError: nobody answered.
    """
    try:
        return api.ask(Request(path=path))
    except ApiError as error:
        if error.passing and error.status != _UNAVAILABLE:
            raise
        return None
