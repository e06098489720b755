"""The objects of a cluster on Kubernetes, as values: safe, found by label, owned by their Lease."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.frameworks.plan import ClusterPlan
from ebbtide.infra.models.cluster import AutoscalePolicy
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import JobSpec, RunSpec
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.manifests import cluster
from ebbtide.infra.platforms.kubernetes.manifests.pods import Machine
from ebbtide.infra.platforms.kubernetes.naming import label_value
from tests.clusters import TIER, cluster_spec, run_spec

CLUSTER = ClusterId("copper-heron-1")
PLACE = cluster.Place(namespace="team", machine=Machine(image="ebb-dask:1", pool_label="pool"))
DASK = load_framework("dask")


def spec_with(**more: Any) -> RunSpec:
    return replace(run_spec("copper-heron", cluster_spec()), owner="Ada L. <ada@x>", **more)


def plan_of(spec: RunSpec) -> ClusterPlan:
    return ClusterPlan(cluster=CLUSTER, spec=spec.cluster, paths=layout.paths())


def made(spec: RunSpec) -> dict[str, dict[str, Any]]:
    """The objects by kind."""
    plan = plan_of(spec)
    things = cluster.objects(spec, plan, DASK, DASK.prepare(plan), PLACE)
    return {thing["kind"]: thing for thing in things}


def pods(things: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [things["Pod"]["spec"], things["Deployment"]["spec"]["template"]["spec"]]


@pytest.fixture(scope="module")
def things() -> dict[str, dict[str, Any]]:
    return made(spec_with(tags=("nightly", "Team A")))


def test_lease_is_made_first_and_owns_the_rest(things: dict[str, dict[str, Any]]) -> None:
    lease, *rest = things.values()
    assert (lease["kind"], lease["metadata"]["name"]) == ("Lease", CLUSTER)
    answer = {"metadata": {"name": CLUSTER, "uid": "u-1"}}
    for thing in rest:
        (owner,) = cluster.owned(thing, answer)["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("Lease", "u-1")
        assert "ownerReferences" not in thing["metadata"]


def test_no_pod_may_do_anything_special(things: dict[str, dict[str, Any]]) -> None:
    for pod in pods(things):
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["readOnlyRootFilesystem"]


def test_keys_are_in_the_secret_and_nowhere_else(things: dict[str, dict[str, Any]]) -> None:
    keys = things["Secret"]["stringData"]
    rest = json.dumps([thing for kind, thing in things.items() if kind != "Secret"])
    assert keys
    assert [name for name, content in keys.items() if json.dumps(content)[1:-1] in rest] == []


def test_members_are_found_by_labels_and_nothing_else_is_let_in(
    things: dict[str, dict[str, Any]],
) -> None:
    (rule,) = things["NetworkPolicy"]["spec"]["ingress"]
    (source,) = rule["from"]
    wanted = source["podSelector"]["matchLabels"].items()
    template = things["Deployment"]["spec"]["template"]
    for member in (things["Pod"], template):
        assert wanted <= member["metadata"]["labels"].items()
    assert (
        things["Service"]["spec"]["selector"].items() <= things["Pod"]["metadata"]["labels"].items()
    )


def test_head_stays_where_it_is_and_workers_may_be_moved(things: dict[str, dict[str, Any]]) -> None:
    mark = "cluster-autoscaler.kubernetes.io/safe-to-evict"
    template = things["Deployment"]["spec"]["template"]
    assert things["Pod"]["metadata"]["annotations"][mark] == "false"
    assert template["metadata"]["annotations"][mark] == "true"


def test_worker_has_the_time_to_drain(things: dict[str, dict[str, Any]]) -> None:
    head, worker = pods(things)
    assert worker["terminationGracePeriodSeconds"] > TIER.drain_budget_s
    assert head["terminationGracePeriodSeconds"] <= 5


def test_worker_is_told_its_own_name_and_address_by_the_kubelet(
    things: dict[str, dict[str, Any]],
) -> None:
    _, worker = pods(things)
    (container,) = worker["containers"]
    told = json.loads(container["args"][-1])
    assert (told["name"], told["host"]) == ("$(POD_NAME)", "$(POD_IP)")
    assert [variable["name"] for variable in container["env"][:2]] == ["POD_IP", "POD_NAME"]


def test_program_that_names_a_variable_of_the_kubelets_gets_it_as_it_is() -> None:
    job = JobSpec(argv=("sh", "-c", "echo $(POD_IP)"), workdir="/", env={"MINE": "$(POD_IP)"})
    spec = replace(spec_with(), job=job)
    driver = cluster.driver(spec, plan_of(spec), DASK, PLACE)
    (container,) = driver["spec"]["containers"]
    assert container["args"][-1] == "echo $$(POD_IP)"
    assert {"name": "MINE", "value": "$$(POD_IP)"} in container["env"]


def test_hpa_has_the_policys_words() -> None:
    spec = spec_with()
    found = cluster.autoscaler(spec, CLUSTER, PLACE)["spec"]
    assert (found["minReplicas"], found["maxReplicas"]) == (1, 4)
    assert [each["resource"]["name"] for each in found["metrics"]] == ["cpu", "memory"]


def test_hpa_for_demand_alone_never_goes_by_use() -> None:
    policy = AutoscalePolicy(scale_on=("demand",))
    spec = replace(spec_with(), cluster=cluster_spec(policy=policy))
    (metric,) = cluster.autoscaler(spec, CLUSTER, PLACE)["spec"]["metrics"]
    assert metric["resource"]["target"]["averageUtilization"] >= 1_000_000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("ada", "ada"),
        ("Ada L. <ada@x>", "Ada-L.-ada-x"),
        ("", ""),
        ("-" * 9, ""),
        ("x" * 70, "x" * 63),
        ("ä", ""),
    ],
)
def test_any_word_becomes_a_valid_label(text: str, value: str) -> None:
    assert label_value(text) == value
