"""Requests that fit exactly, or by one not; and what they are when nobody says anything."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.hardware import HardwareTier, NodePool
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.request.catalog import Catalog
from ebbtide.infra.request.spec import RequestContext, build_run_spec

GI = 2**30
ROOM = Resources(8000, 32 * GI)


def tier(name: str, millis: int, gib: float) -> HardwareTier:
    return HardwareTier(name=name, pool="here", resources=Resources(millis, int(gib * GI)))


def build(tmp_path: Path, *tiers: HardwareTier, **more: Any) -> RunSpec:
    (tmp_path / "train.py").touch()
    shapes = tiers or (tier("small", 1000, 4),)
    pool = NodePool(name="here", platform="local", capacity=ROOM)
    catalog = Catalog(
        pools=(pool,), tiers=shapes, source="", default_tier=shapes[0].name,
        default_head_tier=shapes[0].name,
    )  # fmt: skip
    known: dict[str, Any] = {
        "argv": ("train.py",), "cli": {}, "environ": {"PATH": ""}, "cwd": tmp_path,
        "catalog": catalog, "file_options": {}, "installed": lambda _: [],
        "frameworks": ("none", "dask"), "random": Random(1),
    }  # fmt: skip
    return build_run_spec(RequestContext(**{**known, **more}))


def problem(tmp_path: Path, *tiers: HardwareTier, **more: Any) -> Problem:
    with pytest.raises(ConfigurationError) as caught:
        build(tmp_path, *tiers, **more)
    (only,) = caught.value.problems
    return only


# Who asks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cli", "environ", "owner"),
    [
        ({"owner": "team"}, {"USER": "ada", "LOGNAME": "root"}, "team"),
        ({}, {"USER": "ada", "LOGNAME": "root"}, "ada"),
        ({}, {"LOGNAME": "root"}, "root"),
        ({}, {}, ""),
    ],
    ids=["as said", "the user", "who logged in", "nobody"],
)
def test_owner_is_who_was_named_or_who_asks(
    tmp_path: Path, cli: dict[str, str], environ: dict[str, str], owner: str
) -> None:
    assert build(tmp_path, cli=cli, environ={"PATH": "", **environ}).owner == owner


# The built-in job -----------------------------------------------------------------------------

HELLO = {"argv": ("hello",), "hello_argv": ("python", "hello.py")}


def test_hello_is_the_built_in_job(tmp_path: Path) -> None:
    job = build(tmp_path, **HELLO).job
    assert job is not None
    assert job.argv == ("python", "hello.py")


def test_hello_without_a_built_in_job_is_a_command(tmp_path: Path) -> None:
    said = problem(tmp_path, argv=("hello",)).summary
    assert said == "the command hello was not found on PATH"


def test_another_program_is_not_the_built_in_job(tmp_path: Path) -> None:
    job = build(tmp_path, **{**HELLO, "argv": ("train.py",)}).job
    assert job is not None
    assert job.argv[1:] == ("train.py",)


# Where it runs --------------------------------------------------------------------------------


def test_session_without_a_program_has_its_workdir_in_the_run(tmp_path: Path) -> None:
    spec = build(tmp_path, argv=None, cli={"workdir": "data"})
    assert (spec.job, spec.workdir) == (None, str(tmp_path / "data"))


def test_program_has_its_workdir_with_itself(tmp_path: Path) -> None:
    spec = build(tmp_path)
    assert spec.job is not None
    assert (spec.job.workdir, spec.workdir) == (str(tmp_path), "")


# Room -----------------------------------------------------------------------------------------


def test_request_may_take_all_of_the_pool(tmp_path: Path) -> None:
    assert (
        build(tmp_path, tier("eighth", 1000, 4), cli={"workers": "7"}).cluster.pool.name == "here"
    )


@pytest.mark.parametrize(
    ("millis", "gib", "said"),
    [
        (8001, 32, "big asks 8.001 CPU; pool here has 8 CPU"),
        (8000, 33, "big asks 33 GiB; pool here has 32 GiB"),
        (9000, 33, "big asks 9 CPU, 33 GiB; pool here has 8 CPU, 32 GiB"),
    ],
    ids=["CPU, memory just fits", "memory, CPU just fits", "both"],
)
def test_only_what_does_not_fit_is_named(
    tmp_path: Path, millis: int, gib: float, said: str
) -> None:
    found = problem(tmp_path, tier("big", millis, gib))
    assert (found.summary, found.hint) == (said, "")


@pytest.mark.parametrize(
    ("millis", "gib", "count"),
    [(2000, 4, 3), (1000, 10, 2), (3000, 12, 1)],
    ids=["as CPU allows", "as memory allows", "as both allow"],
)
def test_as_many_workers_are_proposed_as_fit_beside_the_head(
    tmp_path: Path, millis: int, gib: float, count: int
) -> None:
    said = problem(tmp_path, tier("one", millis, gib), cli={"workers": "8"})
    assert said.hint == f"--workers {count} at most"


def test_one_worker_that_does_not_fit_beside_the_head_is_told_in_the_singular(
    tmp_path: Path,
) -> None:
    said = problem(tmp_path, tier("half", 4001, 4), cli={"workers": "1"})
    assert said.summary.startswith("a half head and 1 half worker ask ")


def test_where_not_even_one_worker_fits_the_pool_needs_more_room(tmp_path: Path) -> None:
    assert problem(tmp_path, tier("half", 4001, 4)).hint == "the pool needs more room"


# Processes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("workers", "processes"), [(30, 1000), (31, 1024)])
def test_processes_are_a_thousand_until_the_members_need_more(
    tmp_path: Path, workers: int, processes: int
) -> None:
    """The head is a member: 32 for each of 1 + 31 are more than 1000."""
    limits = build(tmp_path, cli={"workers": f"1..{workers}"}).limits
    assert limits.max_processes == processes


def test_plain_program_has_a_thousand_processes_however_many_workers(tmp_path: Path) -> None:
    cli = {"framework": "none", "workers": "1..100"}
    assert build(tmp_path, cli=cli).limits.max_processes == 1000
