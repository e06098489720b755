"""What is made for a detached run, and what its pod does first."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from ebbtide.infra.models.ids import RunName
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.administration.rights import (
    OPERATOR_RIGHTS,
    RIGHTS,
    rules,
)
from ebbtide.infra.platforms.kubernetes.api import Api, Listed
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.detached import arriving, keeping
from ebbtide.infra.platforms.kubernetes.detached.job import NOTHING, flow_labels, job_of, secret_of
from ebbtide.infra.platforms.kubernetes.elsewhere.ends import Ends
from ebbtide.infra.platforms.kubernetes.kinds import JOB, SECRET, Kind, Object
from ebbtide.infra.platforms.kubernetes.naming import CLUSTER, ROLE
from ebbtide.infra.platforms.kubernetes.naming import RUN as RUN_LABEL
from ebbtide.infra.platforms.kubernetes.shipping.package import pack
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import pause
from tests.clusters import cluster_spec, run_spec

DEPLOY = Path(__file__).parents[4] / "infra/platforms/kubernetes/deploy"
RUN = RunName("copper-heron")


def manifest(kind: str) -> Object:
    everything: list[Object] = list(yaml.safe_load_all((DEPLOY / "flow.yaml").read_text()))
    return next(each for each in everything if each["kind"] == kind)


def job(**more: Any) -> Object:
    how = {"hand_over_s": 600.0, **more}
    return job_of(manifest("PodTemplate"), run_spec(RUN, cluster_spec("none")), "abc", **how)


def test_the_role_grants_all_that_a_run_needs_in_the_namespace() -> None:
    needed = (*RIGHTS, *OPERATOR_RIGHTS)  # the second where Dask's operator makes the pods
    assert manifest("Role")["rules"] == rules(namespaced=True, rights=needed)


def test_the_job_ends_by_itself_until_it_is_taken_over() -> None:
    assert job(hand_over_s=90.4)["spec"]["activeDeadlineSeconds"] == 90


def test_its_pod_is_of_no_cluster_so_that_a_release_leaves_it_alone() -> None:
    labels = job()["spec"]["template"]["metadata"]["labels"]
    assert CLUSTER not in labels
    assert flow_labels(RUN).items() <= labels.items()


def test_what_an_administrator_wrote_on_the_template_stays() -> None:
    template = manifest("PodTemplate")
    template["template"]["metadata"] = {"annotations": {"team.example/cost": "7"}}
    made = job_of(template, run_spec(RUN, cluster_spec("none")), "", hand_over_s=1)
    notes = made["spec"]["template"]["metadata"]["annotations"]
    assert notes["team.example/cost"] == "7"
    assert notes["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


def test_values_of_secrets_are_in_a_secret_alone_which_goes_with_the_job() -> None:
    made = job()
    made["metadata"]["uid"] = "7"
    secret = secret_of(made, {"TOKEN": "hush"})
    assert "hush" not in json.dumps(made)
    (owner,) = secret["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", "copper-heron-flow", "7")
    assert secret["metadata"]["name"] == made["metadata"]["name"]


class Secrets:
    """The one Secret of a namespace, which comes after so many looks."""

    def __init__(self, values: Mapping[str, str] | None, after: int = 0):
        self._values, self._after = values, after

    def get(self, kind: Kind, name: str) -> Object | None:
        assert (kind, name) == (SECRET, "copper-heron-flow")
        self._after -= 1
        if self._after >= 0 or self._values is None:
            return None
        encoded = {key: b64encode(text.encode()).decode() for key, text in self._values.items()}
        return {"data": encoded}


def taken(monkeypatch: pytest.MonkeyPatch, there: Secrets, *names: str) -> dict[str, str] | None:
    """The variables that a pod has then; None: it has waited in vain."""
    monkeypatch.setattr(arriving, "connected", lambda _: there)
    monkeypatch.setattr(arriving, "SILENCE_S", 0.5)
    spec = run_spec(RUN, cluster_spec("none"), Path("train.py"))
    assert spec.job is not None
    spec = replace(spec, job=replace(spec.job, secrets=names))
    environ: dict[str, str] = {}
    return environ if arriving.take_secrets(Settings(home=Path("/")), spec, environ) else None


@pytest.mark.parametrize("after", [0, 2])
def test_the_pod_has_them_as_variables(after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Secrets({"TOKEN": "hush\n"}, after)
    assert taken(monkeypatch, there, "TOKEN") == {"TOKEN": "hush\n"}


def test_secrets_that_nobody_sends_are_waited_for_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert taken(monkeypatch, Secrets(None), "TOKEN") is None


def test_a_run_without_secrets_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert taken(monkeypatch, Secrets(None)) == {}


class Jobs:
    """The Jobs of a namespace."""

    namespace = "team"

    def __init__(self, *jobs: Object, refused: int = 0):
        self._jobs, self._refused = jobs, refused

    def list(self, kind: Kind, labels: Mapping[str, str]) -> Listed:
        assert (kind, labels[ROLE]) == (JOB, "flow")
        if self._refused:
            raise ApiError(self._refused, "Forbidden", "no")
        return Listed(list(self._jobs), "1")


def flow_of(run: str, kept_until: float | None = None, **status: int) -> Object:
    told = json.dumps({"until": kept_until, "folder": "/run/ebb/flow/runs/x"})
    return {
        "metadata": {
            "name": f"{run}-flow",
            "labels": {RUN_LABEL: run, ROLE: "flow"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {keeping.KEPT: told} if kept_until else {},
        },
        "status": status,
    }


def held(*jobs: Object, refused: int = 0) -> list[tuple[str, str]]:
    api = cast(Api, Jobs(*jobs, refused=refused))
    return [(each.cluster, each.until) for each in keeping.held_flows(api, 1.0)]


def test_a_flow_is_held_until_its_run_has_ended() -> None:
    assert held(flow_of("heron", active=1)) == [("heron", "until its run has ended")]


def test_one_that_keeps_files_says_until_when_and_how_to_get_them() -> None:
    assert held(flow_of("heron", 3600.0, active=1)) == [
        ("heron", "until 01:00 UTC, with files; ebb logs heron fetches them")
    ]


def test_a_job_that_has_ended_holds_nothing() -> None:
    assert held(flow_of("heron", 3600.0, succeeded=1)) == []


def test_who_may_not_see_jobs_sees_none() -> None:
    assert held(refused=403) == []


@pytest.mark.parametrize(
    ("folder", "where"),
    [
        ("/run/ebb/flow/runs/x", "in pod heron-flow-7x, for an hour from the end of the run"),
        ("/srv/ebb/runs/x", "on heron-flow-7x, in /srv/ebb/runs/x"),
    ],
)
def test_the_records_say_where_all_of_it_is(folder: str, where: str) -> None:
    assert Ends("heron-flow-7x", folder, (), {}).where == where


class NoCluster:
    """Records of a run that has none yet."""

    def last_cluster(self, run: RunName) -> None:
        assert run == RUN


def take(tmp_path: Path, digest: str) -> bool:
    store = cast(RunStore, NoCluster())
    return arriving.take_code(Settings(home=tmp_path / "home"), store, RUN, digest)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(layout, "PACKAGES", tmp_path / "packages")
    monkeypatch.setattr(layout, "CODE", tmp_path / "code")
    monkeypatch.setattr(arriving, "SILENCE_S", 0.5)
    (tmp_path / "packages").mkdir()
    return tmp_path / "packages"


def test_code_that_nobody_sends_is_waited_for_in_vain(tmp_path: Path, packages: Path) -> None:
    assert not take(tmp_path, "abc")


def test_code_that_comes_slowly_is_waited_for(tmp_path: Path, packages: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.py").write_text("pass")
    package = pack(tmp_path / "mine", tmp_path)
    content, draft = package.path.read_bytes(), packages / f"{package.digest}.7"

    def send() -> None:
        for number in range(len(content)):
            with draft.open("ab") as file:
                file.write(content[number : number + 1])
            pause(1.5 / len(content))
        draft.rename(packages / package.digest)

    sender = threading.Thread(target=send)
    sender.start()
    came = take(tmp_path, package.digest)
    sender.join()
    assert came
    assert (tmp_path / "code" / "train.py").read_text() == "pass"


def test_a_program_of_the_image_waits_for_nothing(tmp_path: Path) -> None:
    assert take(tmp_path, NOTHING)


@pytest.mark.parametrize(
    ("files", "kept"),
    [
        ({}, False),
        ({"stdout.log": "one"}, False),
        ({"output/result.txt": "one"}, True),
        ({"artifacts/events/history.zstd": "one"}, True),
        ({"artifacts/worker-0/raylet.out": "one\n"}, False),
    ],
)
def test_what_only_the_flows_pod_has_is_kept_there(
    files: dict[str, str], kept: bool, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert keeping._has_more_than_the_records(tmp_path) is kept
