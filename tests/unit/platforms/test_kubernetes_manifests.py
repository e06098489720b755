"""The objects of a cluster on Kubernetes, as values: safe, found by label, owned by their Lease."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from dask_kubernetes.operator import make_cluster_spec

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.frameworks.door import SECRET_FILE
from ebbtide.infra.frameworks.plan import ClusterPlan
from ebbtide.infra.models.cluster import AutoscalePolicy
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import JobSpec, RunSpec
from ebbtide.infra.models.resources import NOTHING, Resources, parse_cpu, parse_memory
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.inside.told import code_settings, program_settings
from ebbtide.infra.platforms.kubernetes.manifests import cluster
from ebbtide.infra.platforms.kubernetes.manifests.pods import Machine
from ebbtide.infra.platforms.kubernetes.manifests.shipment import SecretKey, Shipment
from ebbtide.infra.platforms.kubernetes.naming import PACKAGE, label_value
from tests.clusters import TIER, cluster_spec, run_spec

CLUSTER = ClusterId("copper-heron-1")
PLACE = cluster.Place(
    namespace="team", machine=Machine(image="ebb-dask:1", selector={"pool": "small"})
)
DASK = load_framework("dask")
JOB = JobSpec(argv=("python", "train.py"), workdir="/run/ebb/code")
DIGEST = "a" * 64


def spec_with(**more: Any) -> RunSpec:
    return replace(run_spec("copper-heron", cluster_spec()), owner="Ada L. <ada@x>", **more)


def spec_of(framework: str) -> RunSpec:
    return replace(run_spec("copper-heron", cluster_spec(framework)), job=JOB)


def plan_of(spec: RunSpec) -> ClusterPlan:
    return ClusterPlan(cluster=CLUSTER, spec=spec.cluster, paths=layout.paths())


def made(spec: RunSpec, **shipped: Any) -> dict[str, dict[str, Any]]:
    """The objects by kind."""
    plan, framework = plan_of(spec), DASK if spec.cluster.has_workers else None
    secrets = cluster.cluster_secrets(framework, plan)
    things = cluster.objects(spec, plan, framework, secrets, PLACE, Shipment(**shipped))
    return {thing["kind"]: thing for thing in things}


def main_of(pod: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = pod["containers"][0]
    return found


def value_of(container: dict[str, Any], name: str) -> Any:
    """Of the variable with this name, the last one that there is."""
    found = [each for each in container["env"] if each["name"] == name]
    return found[-1].get("value", found[-1].get("valueFrom")) if found else None


def driver_of(spec: RunSpec, **shipped: Any) -> dict[str, Any]:
    return cluster.driver(spec, plan_of(spec), DASK, PLACE, Shipment(**shipped))


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
    for pod in (*pods(things), driver_of(spec_with(job=JOB))["spec"]):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["readOnlyRootFilesystem"]


def test_every_pod_gives_up_a_lost_node_after_half_a_minute(
    things: dict[str, dict[str, Any]],
) -> None:
    for pod in (*pods(things), driver_of(spec_with(job=JOB))["spec"]):
        assert {each["key"]: each["tolerationSeconds"] for each in pod["tolerations"]} == {
            "node.kubernetes.io/unreachable": 30,
            "node.kubernetes.io/not-ready": 30,
        }
        assert {each["effect"] for each in pod["tolerations"]} == {"NoExecute"}


def test_no_autoscaler_of_nodes_takes_head_or_driver_and_each_may_take_workers(
    things: dict[str, dict[str, Any]],
) -> None:
    ours, karpenters = (
        "cluster-autoscaler.kubernetes.io/safe-to-evict",
        "karpenter.sh/do-not-disrupt",
    )
    for pod in (things["Pod"], driver_of(spec_with(job=JOB))):
        annotations = pod["metadata"]["annotations"]
        assert (annotations[ours], annotations[karpenters]) == ("false", "true")
    annotations = things["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations[ours] == "true"
    assert karpenters not in annotations


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


def asked_by(pod: dict[str, Any]) -> Resources:
    """What the scheduler counts: the sum of its containers, or its largest init container."""

    def sum_of(key: str) -> Resources:
        requests = (each["resources"]["requests"] for each in pod.get(key, ()))
        amounts = [Resources(parse_cpu(r["cpu"]), parse_memory(r["memory"])) for r in requests]
        return sum(amounts, NOTHING)

    before, beside = sum_of("initContainers"), sum_of("containers")
    assert before.fits_in(beside)
    return beside


def test_pods_ask_for_what_is_counted_of_them(things: dict[str, dict[str, Any]]) -> None:
    spec = cluster_spec()
    workers, head = replace(spec, pool=replace(spec.pool, platform="kubernetes")).member_asks
    assert asked_by(things["Pod"]["spec"]) == head.amount
    assert asked_by(things["Deployment"]["spec"]["template"]["spec"]) == workers.amount


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
    container = main_of(driver_of(spec_with(job=job))["spec"])
    assert container["args"][-1] == "echo $$(POD_IP)"
    assert {"name": "MINE", "value": "$$(POD_IP)"} in container["env"]


def test_plain_program_has_no_cluster_but_the_secret_of_its_store() -> None:
    things = made(spec_of("none"))
    assert set(things) == {"Lease", "Secret", "NetworkPolicy"}
    assert set(things["Secret"]["stringData"]) == {SECRET_FILE}


def test_plain_program_gets_its_code_from_its_own_pod_and_waits_for_nobody() -> None:
    spec = spec_of("none")
    pod = cluster.driver(spec, plan_of(spec), None, PLACE, Shipment(digest=DIGEST, job=JOB))
    told = program_settings(main_of(pod["spec"])["args"][4])
    assert (told.code.store, told.head_file) == ("http://127.0.0.1:8789", "")


def test_workers_get_the_code_before_they_start_and_the_head_starts_at_once() -> None:
    head, worker = pods(made(spec_with(job=JOB), digest=DIGEST, job=JOB))
    args = main_of(worker)["args"]
    assert args[3].endswith(".inside.member")
    assert code_settings(args[4]).digest == DIGEST
    assert main_of(head)["args"][3].endswith(".dask.head")


def test_code_is_in_a_folder_that_the_store_beside_the_head_can_write() -> None:
    head, _ = pods(made(spec_with(job=JOB), digest=DIGEST, job=JOB))
    for container in head["containers"]:
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        assert mounts["code"] == {"name": "code", "mountPath": "/run/ebb/code"}


def test_every_mount_has_its_volume_and_every_volume_is_mounted() -> None:
    for pod in (*pods(made(spec_with(job=JOB))), driver_of(spec_with(job=JOB))["spec"]):
        mounted = {each["name"] for c in pod["containers"] for each in c["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_container_beside_the_program_sees_one_secret_of_the_cluster() -> None:
    pod = driver_of(spec_with(job=JOB))["spec"]
    (_, files) = pod["containers"]
    assert "secrets" not in {mount["name"] for mount in files["volumeMounts"]}
    (door,) = [volume for volume in pod["volumes"] if volume["name"] == "door"]
    assert [item["key"] for item in door["secret"]["items"]] == [SECRET_FILE]


def test_secret_from_the_shell_is_in_the_clusters_secret_and_nowhere_else() -> None:
    spec = spec_with(job=JOB)
    things = made(spec, secret_values={"TOKEN": "s3cr3t"})
    assert things["Secret"]["stringData"]["user-TOKEN"] == "s3cr3t"
    pod = driver_of(spec, secret_values={"TOKEN": "s3cr3t"})
    rest = [thing for kind, thing in things.items() if kind != "Secret"]
    assert "s3cr3t" not in json.dumps([*rest, pod])
    for container in (main_of(pod["spec"]), main_of(pods(things)[1])):
        assert value_of(container, "TOKEN") == {
            "secretKeyRef": {"name": CLUSTER, "key": "user-TOKEN"}
        }


def test_secret_of_the_namespace_is_referred_to() -> None:
    pod = driver_of(spec_with(job=JOB), secret_keys={"TOKEN": SecretKey("vault", "token")})
    found = value_of(main_of(pod["spec"]), "TOKEN")
    assert found == {"secretKeyRef": {"name": "vault", "key": "token"}}


def test_what_the_user_adds_is_there_for_tasks_and_program() -> None:
    spec = spec_with(job=replace(JOB, env={"MODE": "fast", "HOME": "/elsewhere"}))
    for pod in (driver_of(spec)["spec"], pods(made(spec))[1]):
        assert value_of(main_of(pod), "MODE") == "fast"


def test_wrapper_does_not_obey_what_governs_the_programs_python() -> None:
    job = replace(JOB, env={"PYTHONPATH": "/run/ebb/code/lib", "PYTHONWARNINGS": "error"})
    container = main_of(driver_of(spec_with(job=job))["spec"])
    assert value_of(container, "PYTHONPATH") is None
    assert value_of(container, "EBB_USER_PYTHONPATH") == "/run/ebb/code/lib"


def test_package_is_noted_on_the_lease_for_whoever_adopts_the_cluster() -> None:
    lease = made(spec_with(job=JOB), digest=DIGEST)["Lease"]
    assert lease["metadata"]["annotations"][PACKAGE] == DIGEST


def test_driver_is_ready_when_the_program_runs() -> None:
    container = main_of(driver_of(spec_with(job=JOB))["spec"])
    told = program_settings(container["args"][4])
    assert container["readinessProbe"]["httpGet"]["port"] == "ready"
    assert told.ready_port == container["ports"][0]["containerPort"]


def test_hpa_has_the_policys_words() -> None:
    spec = spec_with()
    found = cluster.autoscaler(spec, CLUSTER, PLACE)["spec"]
    assert (found["minReplicas"], found["maxReplicas"]) == (1, 4)
    assert [each["resource"]["name"] for each in found["metrics"]] == ["cpu", "memory"]


def test_hpa_has_the_windows_and_the_steps_of_the_policy() -> None:
    policy = AutoscalePolicy(
        scale_down_window_s=60, scale_up_window_s=30, scale_down_step=2, scale_up_step=3
    )
    spec = replace(spec_with(), cluster=cluster_spec(policy=policy))
    assert cluster.autoscaler(spec, CLUSTER, PLACE)["spec"]["behavior"] == {
        "scaleUp": {
            "stabilizationWindowSeconds": 30,
            "policies": [{"type": "Pods", "value": 3, "periodSeconds": 60}],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 60,
            "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}],
        },
    }


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


def test_dasks_pods_and_service_start_from_its_own_templates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def marked(name: str, image: str) -> Any:
        spec = make_cluster_spec(name=name, image=image)
        for part in ("scheduler", "worker"):
            spec["spec"][part]["spec"]["schedulerName"] = f"its-{part}"
            spec["spec"][part]["spec"]["containers"][0]["env"] = [{"name": "ITS", "value": part}]
        spec["spec"]["scheduler"]["service"]["sessionAffinity"] = "ClientIP"
        return spec

    monkeypatch.setattr(f"{make_cluster_spec.__module__}.make_cluster_spec", marked)
    things = made(spec_with(job=JOB))
    for pod, part in zip(pods(things), ("scheduler", "worker"), strict=True):
        container = main_of(pod)
        assert (pod["schedulerName"], container["name"]) == (f"its-{part}", part)
        assert value_of(container, "ITS") == part
    assert things["Service"]["spec"]["sessionAffinity"] == "ClientIP"


def test_what_is_ours_is_stronger_than_dasks_templates(things: dict[str, dict[str, Any]]) -> None:
    head, worker = map(main_of, pods(things))
    assert [port["name"] for port in head["ports"]] == ["tcp-comm", "http-dashboard", "ready"]
    # Its worker has a dashboard at the port where ours says whether it has registered.
    assert [port["name"] for port in worker["ports"]] == ["ready"]
    assert not {"livenessProbe"} & head.keys()
    assert head["readinessProbe"]["httpGet"]["port"] == "ready"
    assert [port["name"] for port in things["Service"]["spec"]["ports"]] == [
        "tcp-comm",
        "http-dashboard",
        "packages",
    ]
    assert things["Service"]["spec"]["selector"]["ebbtide.dev/role"] == "head"


def test_without_dasks_templates_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask_kubernetes.operator.kubecluster", None)
    with pytest.raises(ConfigurationError, match="templates of pods"):
        made(spec_with(job=JOB))


def test_reading_a_specification_does_not_import_dask() -> None:
    code = "import sys, ebbtide.infra.platforms.kubernetes.platform as _; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert not {"dask", "distributed", "dask_kubernetes", "kr8s"} & set(loaded)


def test_dasks_operator_is_asked_for_the_same_pods() -> None:
    spec = spec_with(job=JOB)
    own = made(spec)
    pool = replace(spec.cluster.pool, dask_operator=True)
    asked = made(replace(spec, cluster=replace(spec.cluster, pool=pool)))
    assert own.keys() - asked.keys() == {"Pod", "Deployment"}
    found = asked["DaskCluster"]["spec"]
    head, worker = pods(own)
    del head["restartPolicy"]  # the operator's Deployment has its own
    for part, pod in ((found["scheduler"], head), (found["worker"], worker)):
        assert {each["name"] for each in part["spec"]["volumes"]} == {
            each["name"] for each in pod["volumes"]
        }
        assert part["spec"] == pod
    assert found["worker"]["replicas"] == 1
    assert found["scheduler"]["metadata"]["labels"]["ebbtide.dev/role"] == "head"
    assert found["worker"]["metadata"]["labels"]["ebbtide.dev/role"] == "worker"
