"""``ebb run --plan -o yaml``: every object of a cluster, and nothing is made or asked."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.loading import load
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.hardware import HardwareTier, NodePool
from ebbtide.infra.models.job import JobSpec, Limits, RunSpec
from ebbtide.infra.models.resources import Resources, format_duration
from ebbtide.infra.platforms import extras
from ebbtide.infra.platforms.kubernetes.clusters.planned import plan_objects
from ebbtide.infra.platforms.kubernetes.inside.told import program_settings
from ebbtide.infra.settings import Settings
from tests.clusters import MIB, QUICK, run_spec

POOL = NodePool(
    name="far",
    platform="kubernetes",
    capacity=Resources(4000, 8192 * MIB),
    images={"dask": "ebb-dask:1", "none": "ebb-none:1"},
)
TIER = HardwareTier(name="tiny", pool="far", resources=Resources(200, 400 * MIB))
LEASE, SECRET, DRIVER = ("Lease", "heron-1"), ("Secret", "heron-1"), ("Pod", "heron-1-driver")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A kubeconfig of a server that nobody has."""
    server = {"name": "s", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "s", "user": "u", "namespace": "team"}}
    user = {"name": "u", "user": {"token": "t"}}
    config = {"clusters": [server], "users": [user], "contexts": [context]}
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps({**config, "current-context": "c"}))
    return Settings(home=tmp_path / "home", context="c", kubeconfig=str(path))


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text("print(1)")
    return folder


def spec_of(workdir: Path, *argv: str, framework: str = "dask") -> RunSpec:
    asked = ClusterSpec(framework=framework, tier=TIER, head_tier=TIER, pool=POOL, policy=QUICK)
    job = JobSpec(argv=argv or ("python", "train.py"), workdir=str(workdir), secrets=("TOKEN",))
    return replace(run_spec("heron", asked), platform="kubernetes", job=job)


def named(settings: Settings, spec: RunSpec) -> list[tuple[str, str]]:
    things, _ = plan_objects(settings, spec, {"TOKEN": "s3cret"})
    return [(thing["kind"], thing["metadata"]["name"]) for thing in things]


def test_the_lease_comes_first_and_the_driver_last(settings: Settings, workdir: Path) -> None:
    found = named(settings, spec_of(workdir))
    assert (found[0], found[-1]) == (LEASE, DRIVER)
    assert ("HorizontalPodAutoscaler", "heron-1-worker") in found


def test_a_plain_program_has_neither_head_nor_workers(settings: Settings, workdir: Path) -> None:
    found = named(settings, spec_of(workdir, framework="none"))
    assert found == [LEASE, SECRET, ("NetworkPolicy", "heron-1"), DRIVER]


@pytest.mark.parametrize(
    ("framework", "folder"), [("spark", "/run/ebb/artifacts/driver/eventlog"), ("dask", "")]
)
def test_program_has_the_folder_for_what_its_framework_writes_of_it(
    framework: str, folder: str, settings: Settings, workdir: Path
) -> None:
    things, _ = plan_objects(settings, spec_of(workdir, framework=framework), {"TOKEN": "s3cret"})
    told = program_settings(things[-1]["spec"]["containers"][0]["args"][4])
    assert told.history == folder


def test_objects_are_of_the_namespace_in_use(settings: Settings, workdir: Path) -> None:
    things, _ = plan_objects(settings, spec_of(workdir), {})
    assert {thing["metadata"]["namespace"] for thing in things} == {"team"}


def test_no_object_is_owned_by_what_is_not_there_yet(settings: Settings, workdir: Path) -> None:
    things, _ = plan_objects(settings, spec_of(workdir), {})
    assert not any("ownerReferences" in thing["metadata"] for thing in things)


def test_all_of_it_can_be_written_as_yaml(settings: Settings, workdir: Path) -> None:
    things, _ = plan_objects(settings, spec_of(workdir), {})
    assert list(yaml.safe_load_all(yaml.safe_dump_all(things))) == things


def test_secrets_are_in_the_secret_and_nowhere_else(settings: Settings, workdir: Path) -> None:
    things, told = plan_objects(settings, spec_of(workdir), {"TOKEN": "s3cret"})
    holds = [thing["kind"] for thing in things if "s3cret" in json.dumps(thing)]
    assert (holds, "keep it private" in told) == (["Secret"], True)


def test_who_reads_it_is_told_that_code_must_be_sent(settings: Settings, workdir: Path) -> None:
    _, told = plan_objects(settings, spec_of(workdir), {})
    assert "waits for its code" in told


def test_the_built_in_job_waits_for_no_code(settings: Settings, workdir: Path) -> None:
    argv = ("python", "-m", "ebbtide.infra.frameworks.dask.hello")
    _, told = plan_objects(settings, spec_of(workdir, *argv), {})
    assert "waits for its code" not in told
    assert "runs its program" in told


@pytest.mark.parametrize(("limit_s", "lasts_s"), [(None, 86400), (3600, 4500)])
def test_lease_that_nobody_will_renew_lasts_as_long_as_the_program_may(
    settings: Settings, workdir: Path, limit_s: float | None, lasts_s: int
) -> None:
    spec = replace(spec_of(workdir), limits=Limits(time_limit_s=limit_s))
    (lease, *_), told = plan_objects(settings, spec, {})
    assert lease["spec"]["leaseDurationSeconds"] == lasts_s
    assert format_duration(lasts_s) in told


def test_nothing_is_written_down(settings: Settings, workdir: Path) -> None:
    plan_objects(settings, spec_of(workdir), {})
    assert not settings.home.exists()


def test_a_platform_of_processes_makes_no_objects(workdir: Path) -> None:
    assert extras.plan_objects(replace(spec_of(workdir), platform="local"), {}, workdir) is None


def test_a_package_that_is_missing_is_named_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name}", name="kubernetes")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ConfigurationError, match="needs kubernetes, which is not installed"):
        load("ebbtide.x:y", "kubernetes")
