"""A request for pods: what is checked here is what is shipped; interpreter and tools are theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.hardware import HardwareTier, NodePool
from ebbtide.infra.models.job import JobSpec, RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.request.catalog import Catalog
from ebbtide.infra.request.spec import RequestContext, build_run_spec

GI, MI = 2**30, 2**20
NODE = Resources(4000, 16 * GI)
POOLS = (
    NodePool(name="far", platform="kubernetes", capacity=NODE.times(3), node=NODE, max_nodes=3),
    NodePool(name="vague", platform="kubernetes", capacity=Resources(2000, 8 * GI)),
    NodePool(name="here", platform="local", capacity=NODE),
)
TIERS = (
    HardwareTier(name="pod", pool="far", resources=Resources(1000, 4 * GI)),
    HardwareTier(name="half", pool="far", resources=Resources(3000, 8 * GI)),
    HardwareTier(name="full", pool="far", resources=NODE),
    HardwareTier(name="wide", pool="far", resources=Resources(6000, 8 * GI)),
    HardwareTier(name="all", pool="vague", resources=Resources(2000, 8 * GI)),
    HardwareTier(name="some", pool="vague", resources=Resources(1000, 4 * GI)),
    HardwareTier(name="mine", pool="here", resources=Resources(1000, 4 * GI)),
)
CATALOG = Catalog(
    pools=POOLS, tiers=TIERS, default_tier="pod", default_head_tier="pod", source="ebb.yaml"
)
Build = Callable[..., RunSpec]


def missing(framework: str) -> list[Problem]:
    return [Problem(Reason.FRAMEWORK_MISSING, f"{framework} is not installed")]


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text("print(1")  # no Python of this machine has to like it
    (tmp_path / "other.py").touch()
    return folder


@pytest.fixture
def build(workdir: Path) -> Build:
    def build_spec(*argv: str, environ: dict[str, str] | None = None, **cli: Any) -> RunSpec:
        ask = RequestContext(
            argv=argv or ("train.py",),
            cli={"platform": "kubernetes", **cli},
            environ={"PATH": "", "TOKEN": "t", **(environ or {})},
            cwd=workdir,
            catalog=CATALOG,
            file_options={},
            frameworks=("none", "dask"),
            installed=missing,
            platforms=("local", "kubernetes"),
            random=Random(1),
        )
        return build_run_spec(ask)

    return build_spec


@pytest.fixture
def problem(build: Build) -> Callable[..., Problem]:
    def problem_of(*argv: str, **more: Any) -> Problem:
        with pytest.raises(ConfigurationError) as caught:
            build(*argv, **more)
        (found,) = caught.value.problems
        return found

    return problem_of


def job(spec: RunSpec) -> JobSpec:
    assert spec.job is not None
    return spec.job


def test_the_framework_need_not_be_installed_here(build: Build) -> None:
    assert build().cluster.pool.name == "far"


@pytest.mark.parametrize(
    ("argv", "runs"),
    [
        (("train.py", "-x"), ("python", "train.py", "-x")),
        (("python3.12", "train.py"), ("python3.12", "train.py")),
        (("python", "-m", "train"), ("python", "-m", "train")),
        (("spark-submit", "train.py"), ("spark-submit", "train.py")),
        (("/opt/bin/tool",), ("/opt/bin/tool",)),
    ],
)
def test_interpreter_and_commands_are_the_images(
    build: Build, argv: tuple[str, ...], runs: tuple[str, ...]
) -> None:
    assert job(build(*argv)).argv == runs


def test_a_script_may_be_named_by_its_whole_path(build: Build, workdir: Path) -> None:
    script = str(workdir / "train.py")
    assert job(build(script)).argv == ("python", script)


@pytest.mark.parametrize("argv", [("../other.py",), ("python", "../other.py"), ("../run.sh",)])
def test_a_script_outside_of_the_workdir_is_refused(
    problem: Callable[..., Problem], argv: tuple[str, ...], workdir: Path
) -> None:
    found = problem(*argv)
    assert found.summary.endswith(f"outside of the workdir {workdir}, which is all that is shipped")


def test_a_link_out_of_the_workdir_is_refused(
    problem: Callable[..., Problem], workdir: Path
) -> None:
    (workdir / "link.py").symlink_to(workdir.parent / "other.py")
    assert problem("link.py").hint == f"--workdir {workdir.parent}, or an image that has it"


def test_a_script_that_is_not_there_is_refused_with_the_nearest(
    problem: Callable[..., Problem],
) -> None:
    found = problem("tarin.py")
    assert (found.summary, found.hint) == ("tarin.py does not exist", "did you mean train.py?")


def test_a_command_of_the_workdir_must_be_executable(
    problem: Callable[..., Problem], workdir: Path
) -> None:
    (workdir / "run.sh").touch()
    assert problem("./run.sh").summary == "./run.sh is not executable"


def test_a_member_must_fit_one_node(problem: Callable[..., Problem]) -> None:
    found = problem(tier="wide")
    assert found.reason is Reason.TIER_EXCEEDS_POOL
    assert found.summary == "tier wide asks 6 CPU; a node of pool far has 4 CPU"
    assert found.hint == "--tier full (4 CPU, 16 GiB) is the largest that fits"


def test_the_heads_tier_must_fit_one_node_too(problem: Callable[..., Problem]) -> None:
    assert problem(head_tier="wide").summary.startswith("head tier wide asks 6 CPU; a node of")


def test_what_runs_beside_the_head_must_fit_its_node_too(problem: Callable[..., Problem]) -> None:
    found = problem(head_tier="full")
    assert found.reason is Reason.TIER_EXCEEDS_POOL
    assert found.summary == (
        "head tier full asks 4 CPU, 16 GiB, and its pod 0.05 CPU, 48 MiB more;"
        " a node of pool far has 4 CPU, 16 GiB"
    )
    assert found.hint == "--head-tier half (3 CPU, 8 GiB) is the largest that fits"


def test_workers_have_their_pods_for_themselves(build: Build) -> None:
    assert build(tier="full", workers="1").cluster.tier.name == "full"


def test_plain_program_must_fit_with_what_runs_beside_it(problem: Callable[..., Problem]) -> None:
    assert problem(tier="full", framework="none").hint.startswith("--tier half (3 CPU, 8 GiB)")


def test_the_program_has_a_pod_of_its_own_of_the_heads_size(build: Build) -> None:
    """Each of the two with a container beside it, of 0.05 CPU and 48 MiB."""
    assert build(workers="2").cluster.first_ask == Resources(4100, 16 * GI + 96 * MI)
    assert build(framework="none").cluster.first_ask == Resources(1050, 4 * GI + 48 * MI)


def test_what_is_admitted_together_counts_what_runs_beside_head_and_program(
    build: Build, problem: Callable[..., Problem]
) -> None:
    """Ten workers, head and program of 1 CPU fill three nodes of 4 CPU, but for those."""
    assert build(workers="9").cluster.policy.min_workers == 9
    found = problem(workers="10")
    assert found.reason is Reason.TIER_EXCEEDS_POOL
    assert found.summary == (
        "a pod head, a program as large and 10 pod workers ask 12.1 CPU, 48.1 GiB;"
        " pool far has 12 CPU, 48 GiB"
    )
    assert found.hint == "--workers 9 at most"


def test_pool_that_says_no_nodes_must_hold_what_runs_beside_the_program(
    problem: Callable[..., Problem],
) -> None:
    found = problem(tier="all", framework="none")
    assert found.summary == (
        "all asks 2 CPU, 8 GiB, and its pod 0.05 CPU, 48 MiB more; pool vague has 2 CPU, 8 GiB"
    )
    assert found.hint == "--tier some (1 CPU, 4 GiB) is the largest that fits"


def test_secrets_of_the_shell_and_of_the_namespace_are_told_apart(build: Build) -> None:
    found = job(build(secret=["TOKEN", "KEY=vault/api.key"]))
    assert (found.secrets, found.secret_keys) == (("TOKEN",), {"KEY": "vault/api.key"})


def test_of_two_places_for_one_secret_the_last_counts(build: Build) -> None:
    found = job(build(secret=["TOKEN=a/b", "TOKEN"]))
    assert (found.secrets, found.secret_keys) == (("TOKEN",), {})


@pytest.mark.parametrize("text", ["KEY=", "KEY=vault", "KEY=Vault/x", "KEY=a/b/c", "KEY=/x"])
def test_a_place_that_is_none_is_refused(problem: Callable[..., Problem], text: str) -> None:
    assert "is not the place of a secret" in problem(secret=[text]).summary


def test_what_is_written_there_by_mistake_is_not_repeated(problem: Callable[..., Problem]) -> None:
    found = problem(secret=["KEY=s3cret!"])
    assert "s3cret" not in f"{found.summary} {found.hint}"


def test_on_this_machine_there_are_no_secrets_of_a_namespace(build: Build, workdir: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build("true", platform="local", framework="none", secret=["KEY=a/b"])
    assert any("which are on Kubernetes" in found.summary for found in caught.value.problems)


@pytest.mark.parametrize(
    ("written", "destination"),
    [
        ("s3://bucket/out", "s3://bucket/out/heron"),
        ("volume://claim/", "volume://claim/heron"),
        ("s3://bucket/{run}/out", "s3://bucket/heron/out"),
        ("here", ""),
    ],
)
def test_outputs_of_each_run_have_a_folder_of_their_own(
    build: Build, written: str, destination: str
) -> None:
    assert build(outputs=written, name="heron").outputs == destination


@pytest.mark.parametrize("option", [{"outputs": "s3://b/x"}, {"code": "git+https://h/r"}])
def test_what_only_pods_do_is_refused_on_this_machine(build: Build, option: dict[str, str]) -> None:
    (name,) = option
    with pytest.raises(ConfigurationError) as caught:
        build(platform="local", **option)
    assert any(f"--{name} here" in found.hint for found in caught.value.problems)


def test_program_from_elsewhere_need_not_be_here(build: Build) -> None:
    job = build("gone.py", "1", code="git+https://h/r@v1").job
    assert job is not None
    assert (job.argv, job.code) == (("python", "gone.py", "1"), "git+https://h/r@v1")
