"""What is made for a detached run, and what its pod does first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from ebbtide.infra.models.ids import RunName
from ebbtide.infra.platforms.kubernetes.administration.rights import rules
from ebbtide.infra.platforms.kubernetes.detached import arriving
from ebbtide.infra.platforms.kubernetes.detached.job import flow_labels, job_of, secret_of
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.naming import CLUSTER
from tests.clusters import cluster_spec, run_spec

DEPLOY = Path(__file__).parents[4] / "infra/platforms/kubernetes/deploy"
RUN = RunName("copper-heron")


def manifest(kind: str) -> Object:
    everything: list[Object] = list(yaml.safe_load_all((DEPLOY / "flow.yaml").read_text()))
    return next(each for each in everything if each["kind"] == kind)


def job(**more: Any) -> Object:
    how = {"secrets": False, "hand_over_s": 600.0, **more}
    return job_of(manifest("PodTemplate"), run_spec(RUN, cluster_spec("none")), "abc", **how)


def test_the_role_grants_all_that_a_run_needs_in_the_namespace() -> None:
    assert manifest("Role")["rules"] == rules(namespaced=True)


def test_the_job_ends_by_itself_until_it_is_taken_over() -> None:
    assert job(hand_over_s=90.4)["spec"]["activeDeadlineSeconds"] == 90


def test_its_pod_is_of_no_cluster_so_that_a_release_leaves_it_alone() -> None:
    labels = job()["spec"]["template"]["metadata"]["labels"]
    assert CLUSTER not in labels
    assert flow_labels(RUN).items() <= labels.items()


def test_what_an_administrator_wrote_on_the_template_stays() -> None:
    template = manifest("PodTemplate")
    template["template"]["metadata"] = {"annotations": {"team.example/cost": "7"}}
    made = job_of(template, run_spec(RUN, cluster_spec("none")), "", secrets=False, hand_over_s=1)
    notes = made["spec"]["template"]["metadata"]["annotations"]
    assert notes["team.example/cost"] == "7"
    assert notes["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


def test_values_of_secrets_are_in_a_secret_alone_which_goes_with_the_job() -> None:
    made = job(secrets=True)
    made["metadata"]["uid"] = "7"
    secret = secret_of(made, {"TOKEN": "hush"})
    assert "hush" not in json.dumps(made)
    (owner,) = secret["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", "copper-heron-flow", "7")
    volumes = made["spec"]["template"]["spec"]["volumes"]
    assert volumes[-1]["secret"]["secretName"] == secret["metadata"]["name"]


def test_the_pod_has_them_as_variables(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "TOKEN").write_text("hush\n")
    (tmp_path / "TOKEN").symlink_to("..data/TOKEN")
    environ: dict[str, str] = {}
    arriving.take_secrets(environ, tmp_path)
    assert environ == {"TOKEN": "hush\n"}
