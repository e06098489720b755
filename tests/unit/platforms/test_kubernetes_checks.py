"""What ``ebb doctor --platform kubernetes`` finds, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.extras import Finding
from ebbtide.infra.platforms.kubernetes.administration import checks, images
from ebbtide.infra.platforms.kubernetes.administration.manifests import manifests
from ebbtide.infra.platforms.kubernetes.administration.rights import RIGHTS, Right, rules
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.kinds import NODE, POD, Kind

GI = 2**30
POOL = NodePool(
    name="far",
    platform="kubernetes",
    capacity=Resources(80_000, 320 * GI),
    node=Resources(8000, 32 * GI),
    max_nodes=10,
    images={"*": "r.example/ebb-{framework}:1", "ray": "mine"},
)
STATUS = "/api/v1/namespaces/kube-system/configmaps/cluster-autoscaler-status"
NODES, REAPER = "/api/v1/nodes", "/apis/apps/v1/namespaces/ns/deployments/ebb-reaper"


@dataclass
class Server:
    """Answers by path; what is not there is a 404."""

    answers: dict[str, Any] = field(default_factory=dict)
    refused: tuple[tuple[str, str], ...] = ()
    namespace: str = "ns"

    def ask(self, request: Request) -> Any:
        found = self.answers.get(request.path, 404)
        if isinstance(found, int):
            raise ApiError(found, "", "not so")
        return found

    def may(self, verb: str, kind: Kind, part: str = "") -> bool:
        name = f"{kind.plural}.{kind.group}" if kind.group == "metrics.k8s.io" else kind.plural
        return (verb, f"{name}/{part}" if part else name) not in self.refused


def node(cpu: str = "8", memory: str = "33554432Ki", ready: str = "True") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready}]
    status = {"allocatable": {"cpu": cpu, "memory": memory}, "conditions": conditions}
    return {"metadata": {"name": "n1"}, "status": status}


def namespace(level: str = "") -> Server:
    labels = {checks.POD_SECURITY: level} if level else {}
    return Server({"/api/v1/namespaces/ns": {"metadata": {"labels": labels}}})


@pytest.mark.parametrize(
    ("minor", "state"), [("29", "ok"), ("34", "ok"), ("30+", "ok"), ("28", "missing")]
)
def test_the_api_server_must_be_new_enough(minor: str, state: str) -> None:
    told = {"major": "1", "minor": minor, "gitVersion": f"v1.{minor}.0"}
    assert checks.version(told).state == state


@pytest.mark.parametrize(
    ("now_s", "detail"),
    [
        (0.0, "as the API server's"),
        (60.0, "this machine's clock is 60s ahead of the API server's"),
        (-60.0, "this machine's clock is 60s behind the API server's"),
    ],
)
def test_clocks_are_compared(now_s: float, detail: str) -> None:
    assert checks.clock("Thu, 01 Jan 1970 00:00:00 GMT", now_s).detail == detail


def test_a_server_that_tells_no_time_is_well() -> None:
    assert checks.clock("", 0.0).state == "ok"


def test_all_rights_are_one_line() -> None:
    (found,) = checks.rights(Server())
    assert (found.state, found.detail.startswith("all ")) == ("ok", True)


def test_a_right_without_which_nothing_runs_is_missing() -> None:
    (found,) = checks.rights(Server(refused=(("create", "pods/exec"),)))
    assert (found.state, found.detail) == ("missing", "may not create pods/exec in ns")
    assert found.fix == (
        "grant it by a Role: resources [pods/exec], apiGroups [''], verbs ['create']"
    )


def test_another_right_is_a_warning_that_says_what_is_weaker() -> None:
    (found,) = checks.rights(Server(refused=(("list", "nodes"), ("watch", "nodes"))))
    assert found.state == "warning"
    assert found.detail.startswith("may not list, watch nodes in the whole cluster: ebb nodes")
    assert found.fix.startswith("grant it by a ClusterRole")


def test_figures_of_nodes_are_told_apart_from_nodes() -> None:
    (found,) = checks.rights(Server(refused=(("list", "nodes.metrics.k8s.io"),)))
    assert found.detail.startswith("may not list nodes.metrics.k8s.io in the whole cluster: ebb")
    assert "resources [nodes], apiGroups ['metrics.k8s.io']" in found.fix


@pytest.mark.parametrize(("answer", "state"), [({}, "ok"), (404, "warning"), (503, "warning")])
def test_the_hpa_needs_figures(answer: Any, state: str) -> None:
    assert checks.metrics(Server({"/apis/metrics.k8s.io/v1beta1": answer})).state == state


def test_silence_is_another_matter() -> None:
    with pytest.raises(ApiError):
        checks.metrics(Server({"/apis/metrics.k8s.io/v1beta1": 0}))


@pytest.mark.parametrize(
    ("answers", "state", "detail"),
    [
        ({STATUS: {"data": {"status": "autoscalerStatus: Running"}}}, "ok", "Cluster Autoscaler"),
        ({STATUS: {}}, "warning", "Cluster Autoscaler is not well"),
        (
            {"/apis/karpenter.sh/v1/nodepools": {"items": [{"metadata": {"name": "a"}}]}},
            "ok",
            "Karpenter, with NodePools a",
        ),
        (
            {"/apis/karpenter.sh/v1/nodepools": {"items": []}},
            "warning",
            "Karpenter has no NodePool",
        ),
        ({}, "warning", "none was seen: pools keep the nodes they have"),
        ({STATUS: 403}, "warning", "none was seen: pools keep the nodes they have"),
    ],
)
def test_who_grows_pools(answers: dict[str, Any], state: str, detail: str) -> None:
    found = checks.autoscaler(Server(answers))
    assert (found.state, found.detail) == (state, detail)


@pytest.mark.parametrize(
    ("nodes", "grows", "state", "detail"),
    [
        ([node()], False, "ok", "1 nodes, 1 ready"),
        ([node(ready="Unknown")], False, "warning", "1 nodes, 0 ready"),
        ([], True, "ok", "no node now; grows from zero by label"),
        ([], False, "missing", "no node has the label"),
        ([node(cpu="3920m")], True, "warning", "1 nodes, 1 ready; none offers 8 CPU, 32 GiB"),
    ],
)
def test_a_pool_has_nodes_or_grows(nodes: list[Any], grows: bool, state: str, detail: str) -> None:
    found = checks.pool(Server({NODES: {"items": nodes}}), POOL, grows=grows)
    assert (found.state, found.detail.startswith(detail)) == (state, True)


def test_nodes_that_may_not_be_seen_are_said_so() -> None:
    assert checks.pool(Server({NODES: 403}), POOL, grows=True).state == "warning"


def with_images(*names: str) -> dict[str, Any]:
    found = node()
    found["status"]["images"] = [{"names": [name]} for name in names]
    return found


HAS_NOTHING = "r.example/ebb-dask:1, mine, r.example/ebb-spark:1, r.example/ebb-none:1"


@pytest.mark.parametrize(
    ("nodes", "state", "detail"),
    [
        ([], "warning", f"far: not seen on any node yet: {HAS_NOTHING}"),
        ([with_images("other:1")], "warning", f"far: not seen on any node yet: {HAS_NOTHING}"),
        (
            [with_images("r.example/ebb-dask:1", "docker.io/library/mine:latest"), node()],
            "ok",
            "far: r.example/ebb-dask:1 on 1 of 2 nodes; mine on 1 of 2 nodes; "
            "not seen on any node yet: r.example/ebb-spark:1, r.example/ebb-none:1",
        ),
    ],
)
def test_images_are_looked_for_on_the_pools_nodes(
    nodes: list[Any], state: str, detail: str
) -> None:
    found = images.seen_images(Server({NODES: {"items": nodes}}), POOL)
    assert (found.state, found.detail, bool(found.fix)) == (state, detail, state != "ok")


def test_images_that_nobody_can_look_for_are_not_called_well() -> None:
    assert images.seen_images(Server({NODES: 403}), POOL).state == "warning"


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("ebb", "docker.io/library/ebb:latest"),
        ("team/ebb:1", "docker.io/team/ebb:1"),
        ("localhost/ebb:1", "localhost/ebb:1"),
        ("r.example:5000/ebb", "r.example:5000/ebb:latest"),
        ("r.example/ebb@sha256:abc", "r.example/ebb@sha256:abc"),
    ],
)
def test_an_image_is_compared_as_nodes_write_it(image: str, full: str) -> None:
    assert images.full_name(image) == full


def test_printed_reaper_is_the_file_with_the_catalogs_image() -> None:
    printed = list(yaml.safe_load_all(manifests("reaper", [POOL])))
    (deployment,) = (each for each in printed if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "r.example/ebb-flow:1"
    assert len(printed) == 4


def test_without_a_catalog_a_part_is_printed_as_its_file_has_it() -> None:
    assert 'image: "ebb-flow"' in manifests("flow", [])


@pytest.mark.parametrize(
    ("server", "state"),
    [
        (namespace("restricted"), "ok"),
        (namespace("baseline"), "ok"),
        (namespace("privileged"), "warning"),
        (namespace(), "warning"),
        (Server(), "missing"),
        (Server({"/api/v1/namespaces/ns": 403}), "ok"),
    ],
)
def test_a_namespace_should_let_pods_have_no_privileges(server: Server, state: str) -> None:
    assert checks.security(server).state == state


@pytest.mark.parametrize(
    ("answer", "state"),
    [({"status": {"readyReplicas": 1}}, "ok"), ({"status": {}}, "warning"), (404, "warning")],
)
def test_somebody_should_release_what_nobody_owns(answer: Any, state: str) -> None:
    assert checks.reaper(Server({REAPER: answer})).state == state


ACCOUNT, TEMPLATE = (
    f"/api/v1/namespaces/ns/{plural}/ebb-flow" for plural in ("serviceaccounts", "podtemplates")
)


@pytest.mark.parametrize(
    ("answers", "state"),
    [({ACCOUNT: {}, TEMPLATE: {}}, "ok"), ({ACCOUNT: {}}, "warning"), ({TEMPLATE: {}}, "warning")],
)
def test_flows_of_detached_runs_need_an_account_and_a_template(
    answers: dict[str, Any], state: str
) -> None:
    assert checks.flow(Server(answers)).state == state


@pytest.mark.parametrize(
    "look",
    [checks.metrics, checks.autoscaler, checks.reaper, checks.flow, checks.security],
    ids=lambda look: look.__name__,
)
def test_what_is_not_well_says_how_to_mend_it(look: Callable[[Server], Finding]) -> None:
    found = look(Server())
    assert (found.state != "ok", bool(found.fix)) == (True, True)


# The Role -------------------------------------------------------------------------------------


def test_a_role_grants_every_verb_on_what_is_in_the_namespace() -> None:
    granted = {
        (resource, verb)
        for rule in rules(namespaced=True)
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == {
        (right.resource, verb) for right in RIGHTS if right.kind.namespaced for verb in right.verbs
    }


def test_kinds_without_a_namespace_are_for_a_cluster_role() -> None:
    asked = (Right(kind=NODE, verbs=("get",)), Right(kind=POD, verbs=("get",)))
    assert rules(namespaced=False, rights=asked) == [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}
    ]


@pytest.mark.parametrize(("answer", "state"), [({"resources": []}, "ok"), (404, "missing")])
def test_dasks_operator_has_brought_its_kinds(answer: Any, state: str) -> None:
    found = checks.operator(Server({"/apis/kubernetes.dask.org/v1": answer}))
    assert (found.state, bool(found.fix)) == (state, state != "ok")
