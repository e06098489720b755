"""One request is judged as a whole, before anything is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.lifecycle.submission import own_modules
from ebbtide.infra.models.hardware import HardwareTier, NodePool
from ebbtide.infra.models.job import RetryPolicy, RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.request.catalog import Catalog
from ebbtide.infra.request.spec import RequestContext, build_run_spec

GI = 2**30
Build = Callable[..., RunSpec]
Problems = Callable[..., list[Problem]]


def test_a_sessions_own_folders_are_those_where_nothing_is_installed(tmp_path: Path) -> None:
    own, packages = tmp_path / "own", tmp_path / "venv" / "lib"
    for folder in (own, packages):
        folder.mkdir(parents=True)
    path = [str(own), str(packages), str(tmp_path / "missing.zip"), str(own)]
    assert own_modules(path, [str(tmp_path / "venv")]) == (str(own),)
    assert own_modules([""], []) == (str(Path.cwd()),)


def tier(name: str, cpu: int, gib: int, *, pool: str = "default", **more: Any) -> HardwareTier:
    return HardwareTier(name=name, pool=pool, resources=Resources(cpu * 1000, gib * GI), **more)


CATALOG = Catalog(
    pools=(
        NodePool(name="default", platform="local", capacity=Resources(16_000, 64 * GI)),
        NodePool(name="spare", platform="local", capacity=Resources(4000, 8 * GI)),
        NodePool(name="far", platform="kubernetes", capacity=Resources(64_000, 256 * GI)),
    ),
    tiers=(
        tier("small", 1, 4),
        tier("large", 8, 48),
        tier("xlarge", 8, 96),
        tier("rays", 1, 4, frameworks=("ray",)),
        tier("spare", 1, 2, pool="spare"),
        tier("pod", 4, 16, pool="far"),
    ),
    default_tier="small",
    default_head_tier="small",
    source="ebb.yaml",
)


def usable(framework: str) -> list[Problem]:
    missing = Problem(Reason.FRAMEWORK_MISSING, "ray is not installed", "pip install ebbtide[ray]")
    return [missing] if framework == "ray" else []


@pytest.fixture
def build(tmp_path: Path) -> Build:
    (tmp_path / "train.py").touch()

    def build_spec(*argv: str, ask: dict[str, Any] | None = None, **cli: Any) -> RunSpec:
        known: dict[str, Any] = {
            "argv": argv or ("train.py",), "cli": cli, "environ": {"TOKEN": "t", "PATH": ""},
            "cwd": tmp_path, "catalog": CATALOG, "file_options": {}, "installed": usable,
            "frameworks": ("none", "dask", "ray"), "random": Random(1),
        }  # fmt: skip
        return build_run_spec(RequestContext(**{**known, **(ask or {})}))

    return build_spec


@pytest.fixture
def problems(build: Build) -> Problems:
    def problems_of(*argv: str, **more: Any) -> list[Problem]:
        with pytest.raises(ConfigurationError) as caught:
            build(*argv, **more)
        return list(caught.value.problems)

    return problems_of


def test_the_defaults_make_a_whole_run(build: Build, tmp_path: Path) -> None:
    spec = build()
    assert (spec.platform, spec.lease_s, spec.cluster.framework) == ("local", 30.0, "dask")
    assert (spec.cluster.tier.name, spec.cluster.head_tier.name) == ("small", "small")
    assert (spec.cluster.policy.min_workers, spec.cluster.policy.max_workers) == (1, 4)
    assert spec.job is not None
    assert (spec.job.argv[1:], spec.job.workdir) == (("train.py",), str(tmp_path))


def test_every_option_arrives_in_the_policy(build: Build) -> None:
    policy = build(
        workers="2..3", target_cpu="70", target_memory="60", scale_down_window="9s",
        scale_up_window="7s", scale_up_step=3, scale_down_step=2,
    ).cluster.policy  # fmt: skip
    assert (policy.min_workers, policy.max_workers) == (2, 3)
    assert (policy.target_cpu_percent, policy.target_memory_percent) == (70.0, 60.0)
    assert (policy.scale_down_window_s, policy.scale_up_window_s) == (9.0, 7.0)
    assert (policy.scale_up_step, policy.scale_down_step) == (3, 2)


def test_every_option_arrives_in_limits_and_retry(build: Build) -> None:
    spec = build(start_within="1m", time_limit="2m", idle_release="never", idle_action="warn",
                 retry="job", attempts=2, replacements=4, lease="5s")  # fmt: skip
    assert (spec.limits.start_within_s, spec.limits.time_limit_s) == (60.0, 120.0)
    assert (spec.limits.idle_release_s, spec.limits.idle_action) == (None, "warn")
    assert spec.retry == RetryPolicy(reasons=("job",), attempts=2, replacements=4)
    assert spec.lease_s == 5.0


@pytest.mark.parametrize(
    ("options", "max_processes"),
    [
        ({}, 1000),
        ({"framework": "none"}, 1000),
        ({"workers": "1..100"}, 101 * 32),
        ({"max_processes": "77"}, 77),
        ({"max_processes": "none"}, None),
    ],
)
def test_more_workers_may_have_more_processes(
    build: Build, options: dict[str, str], max_processes: int | None
) -> None:
    assert build(**options).limits.max_processes == max_processes


def test_max_output_arrives_in_limits(build: Build) -> None:
    assert build(max_output="2Mi").limits.max_output_bytes == 2 * 2**20
    assert build(max_output="none").limits.max_output_bytes is None


def test_variables_and_secrets_arrive_in_the_job(build: Build) -> None:
    job = build(env=["A=1"], secret=["TOKEN"]).job
    assert job is not None
    assert (job.env, job.secrets) == ({"A": "1"}, ("TOKEN",))


def test_a_secrets_value_is_nowhere_in_the_spec(build: Build) -> None:
    ask = {"environ": {"TOKEN": "s3cr3t", "PATH": ""}}
    assert "s3cr3t" not in repr(build(secret=["TOKEN"], ask=ask))


def test_a_run_is_named_as_asked(build: Build) -> None:
    assert build(name="nightly-3").name == "nightly-3"


def test_a_run_without_a_name_gets_one(build: Build) -> None:
    assert build().name == build().name != build(ask={"random": Random(2)}).name


def test_the_workdir_is_relative_to_where_the_user_is(build: Build, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "job.py").touch()
    job = build("job.py", workdir="sub/../sub").job
    assert job is not None
    assert job.workdir == str(tmp_path / "sub")


def test_a_python_session_needs_no_program(build: Build) -> None:
    assert build(ask={"argv": None}).job is None


HELLO = {"hello_argv": ("py", "hello.py"), "hello_defaults": {"workers": "1..2", "lease": "9s"}}


def test_hello_is_the_built_in_job_with_its_own_defaults(build: Build) -> None:
    spec = build("hello", ask=HELLO)
    assert spec.job is not None
    assert (spec.job.argv, spec.lease_s) == (("py", "hello.py"), 9.0)


@pytest.mark.parametrize(
    "said",
    [{"cli": {"workers": 3}}, {"environ": {"EBB_WORKERS": "3"}}, {"file_options": {"workers": 3}}],
    ids=["option", "variable", "file"],
)
def test_what_the_user_sets_is_stronger_than_hello(build: Build, said: dict[str, Any]) -> None:
    assert build("hello", ask={**HELLO, **said}).cluster.policy.max_workers == 3


def test_the_defaults_of_hello_are_only_for_hello(build: Build) -> None:
    assert build("train.py", ask=HELLO).lease_s == 30.0


@pytest.mark.parametrize(
    ("said", "reason", "summary", "hint"),
    [
        ({"framework": "dusk"}, Reason.FRAMEWORK_UNKNOWN, "no framework is named dusk",
         "did you mean dask?"),
        ({"framework": "flink"}, Reason.FRAMEWORK_UNKNOWN, "no framework is named flink",
         "frameworks: none, dask, ray"),
        ({"framework": "ray"}, Reason.FRAMEWORK_MISSING, "ray is not installed",
         "pip install ebbtide[ray]"),
        ({"tier": "smal"}, Reason.TIER_UNKNOWN, "no tier is named smal",
         "did you mean small? tiers: small, large, xlarge, rays, spare"),
        ({"head_tier": "zzz"}, Reason.TIER_UNKNOWN, "no tier is named zzz",
         "tiers: small, large, xlarge, rays, spare"),
        ({"tier": "rays"}, Reason.OPTION_INVALID, "tier rays is for ray, not for dask",
         "choose another tier, or --framework ray"),
        ({"tier": "pod"}, Reason.TIER_UNKNOWN, "tier pod is on platform kubernetes, not on local",
         "--platform kubernetes; tiers: small, large, xlarge, rays, spare"),
        ({"tier": "small", "head_tier": "spare"}, Reason.OPTION_INVALID,
         "tier small is of pool default, head tier spare of spare",
         "choose both from one pool: head and workers are admitted together"),
        ({"platform": "locl"}, Reason.OPTION_INVALID, "no platform is named locl",
         "did you mean local?"),
        ({"workers": "4..1"}, Reason.OPTION_INVALID,
         "option --workers: '4..1' has its minimum above its maximum", "write 1..4"),
        ({"secret": ["TOKN"]}, Reason.SECRET_MISSING, "the secret TOKN is not set in this shell",
         "did you mean TOKEN? or: export TOKN=…"),
        ({"secret": ["KEY"]}, Reason.SECRET_MISSING, "the secret KEY is not set in this shell",
         "export KEY=…"),
    ],
    ids=lambda value: " ".join(f"{k}" for k in value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_bad_request_is_one_clear_problem(
    problems: Problems, said: dict[str, Any], reason: Reason, summary: str, hint: str
) -> None:
    assert problems(**said) == [Problem(reason, summary, hint)]


@pytest.mark.parametrize(
    ("said", "summary", "hint"),
    [
        ({"tier": "xlarge"}, "xlarge asks 96 GiB; pool default has 64 GiB",
         "--tier large (8 CPU, 48 GiB) is the largest that fits"),
        ({"head_tier": "xlarge"}, "head tier xlarge asks 96 GiB; pool default has 64 GiB",
         "--head-tier large (8 CPU, 48 GiB) is the largest that fits"),
        ({"tier": "large", "workers": "2..4"},
         "a small head and 2 large workers ask 17 CPU, 100 GiB; pool default has 16 CPU, 64 GiB",
         "--tier small (1 CPU, 4 GiB) is the largest that fits, or --workers 1 at most"),
        ({"workers": "16"}, "a small head and 16 small workers ask 17 CPU, 68 GiB; "
         "pool default has 16 CPU, 64 GiB", "--workers 15 at most"),
        ({"tier": "spare", "workers": "4"}, "a spare head and 4 spare workers ask 5 CPU, 10 GiB; "
         "pool spare has 4 CPU, 8 GiB", "--workers 3 at most"),
        ({"tier": "xlarge", "framework": "none"}, "xlarge asks 96 GiB; pool default has 64 GiB",
         "--tier large (8 CPU, 48 GiB) is the largest that fits"),
    ],
    ids=["tier", "head", "workers", "too many", "other pool", "no framework"],
)  # fmt: skip
def test_what_can_never_fit_is_refused(
    problems: Problems, said: dict[str, Any], summary: str, hint: str
) -> None:
    assert problems(**said) == [Problem(Reason.TIER_EXCEEDS_POOL, summary, hint)]


def test_most_workers_may_exceed_the_pool(build: Build) -> None:
    assert build(workers="1..1000").cluster.policy.max_workers == 1000


def test_the_head_follows_a_tier_of_another_pool(build: Build) -> None:
    assert build(tier="spare").cluster.head_tier.name == "spare"


def test_the_head_follows_a_tier_when_the_default_is_not_for_the_framework(build: Build) -> None:
    small = tier("small", 1, 4, frameworks=("dask",))
    catalog = Catalog(pools=CATALOG.pools, tiers=(small, tier("rays", 1, 4)), source="",
                      default_tier="small", default_head_tier="small")  # fmt: skip
    ask = {"catalog": catalog, "installed": lambda _: []}
    assert build(framework="ray", tier="rays", ask=ask).cluster.head_tier.name == "rays"


def test_without_a_framework_the_head_tier_has_no_effect(build: Build) -> None:
    cluster = build(framework="none", tier="spare", head_tier="xlarge").cluster
    assert (cluster.head_tier.name, cluster.pool.name) == ("spare", "spare")


def test_defaults_are_taken_from_the_platform_asked_for(build: Build) -> None:
    cluster = build(platform="kubernetes", ask={"platforms": ("local", "kubernetes")}).cluster
    assert (cluster.tier.name, cluster.head_tier.name) == ("pod", "pod")


def test_a_platform_without_tiers_is_a_problem(problems: Problems) -> None:
    (problem,) = problems(platform="cloud", ask={"platforms": ("local", "cloud")})
    assert problem.summary == "platform cloud has no hardware tier"


def test_a_missing_program_is_a_problem(problems: Problems) -> None:
    (problem,) = problems(ask={"argv": ()})
    assert (problem.reason, problem.summary) == (
        Reason.PROGRAM_INVALID, "there is no program to run",
    )  # fmt: skip


def test_hello_needs_its_workdir_too(problems: Problems) -> None:
    (problem,) = problems("hello", workdir="gone", ask=HELLO)
    assert problem.reason is Reason.PROGRAM_INVALID


def test_everything_wrong_is_in_one_error(problems: Problems) -> None:
    found = problems("trian.py", framework="dusk", tier="smal", head_tier="lrge", secret=["KEY"],
                     workers="4..1", wokers=2, retry="always")  # fmt: skip
    assert len(found) == 8


def test_what_can_never_fit_is_found_beside_other_problems(problems: Problems) -> None:
    found = {problem.reason for problem in problems("trian.py", tier="xlarge")}
    assert found == {Reason.PROGRAM_INVALID, Reason.TIER_EXCEEDS_POOL}


def tiers_of(spec: RunSpec) -> list[tuple[str, str]]:
    """Of workers and head, in the order in which they are taken."""
    clusters = (spec.cluster, *spec.next_tiers)
    return [(cluster.tier.name, cluster.head_tier.name) for cluster in clusters]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"tier": "large,spare"}, [("large", "small"), ("spare", "spare")]),
        ({"tier": ["spare", "small", "spare"]}, [("spare", "spare"), ("small", "small")]),
        (
            {"tier": "spare, small", "head_tier": "large,spare"},
            [("spare", "spare"), ("small", "large")],
        ),
        ({"tier": "spare,small", "framework": "none"}, [("spare", "spare"), ("small", "small")]),
    ],
)
def test_tiers_of_a_list_are_taken_in_its_order_each_with_a_head_of_its_pool(
    build: Build, asked: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    spec = build(**asked)
    assert tiers_of(spec) == expected
    assert {cluster.policy for cluster in spec.next_tiers} == {spec.cluster.policy}
    assert spec.passed_over == ()


def test_tier_of_a_list_that_can_never_fit_is_passed_over(build: Build) -> None:
    spec = build(tier="xlarge,large,spare")
    assert tiers_of(spec) == [("large", "small"), ("spare", "spare")]
    (left,) = spec.passed_over
    assert (left.tier, left.reason) == ("xlarge", Reason.TIER_EXCEEDS_POOL)
    assert left.why == "xlarge asks 96 GiB; pool default has 64 GiB"


def test_list_of_which_nothing_fits_is_refused_with_what_each_lacks(problems: Problems) -> None:
    found = problems(tier="xlarge,large", workers="4")
    assert [problem.reason for problem in found] == 2 * [Reason.TIER_EXCEEDS_POOL]


def test_all_bad_names_of_a_list_are_told_with_the_nearest_word(problems: Problems) -> None:
    found = problems(tier="smal,large,spair", head_tier="sparre")
    assert [(problem.summary, problem.hint.partition("?")[0]) for problem in found] == [
        ("no tier is named smal", "did you mean small"),
        ("no tier is named spair", "did you mean spare"),
        ("no tier is named sparre", "did you mean spare"),
    ]


def test_head_tier_that_is_of_no_pool_of_a_tier_of_the_list_is_refused(problems: Problems) -> None:
    (problem,) = problems(tier="small,spare", head_tier="large")
    assert problem.summary == "tier spare is of pool spare, head tier large of default"


def test_python_session_has_the_first_tier_that_fits_and_no_other(build: Build) -> None:
    spec = build(tier="xlarge,large,spare", ask={"argv": None})
    assert tiers_of(spec) == [("large", "small")]
    assert [left.tier for left in spec.passed_over] == ["xlarge"]
