"""Each example runs unchanged, on a laptop and on a cluster, with the right answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebbtide.infra.lifecycle import steps
from ebbtide.infra.lifecycle.submission import RunRequest, spec_for
from ebbtide.infra.models.job import RunSpec
from tests.clusters import Stand, standing

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
TIMEOUT_S = 240
ANSWERS = {
    "dask/array_reduction": ["64 blocks, 128 MB on the workers", "the answer is right"],
    "dask/dataframe_shuffle": [
        "400,000 orders of 2,000 customers in 8 partitions",
        "east     43,447,768.53",
        "the answer is right",
    ],
    "dask/futures_with_failures": ["37 of 40 answered, 4 of them late", "mean temperature 15.01"],
    "ray/large_objects": ["weighted sum 2,376,519,511", "the answer is right"],
    "ray/actors_with_state": ["10,000 words counted by 6 actors", "the answer is right"],
    "ray/parameter_search": ["40 tries, 4 at a time", "the answer is right"],
    "spark/shuffle_join": ["east     2,500,500.00", "the answer is right"],
    "spark/cached_iterations": ["best pages: 0, 1, 2", "the answer is right"],
    "spark/ml_pipeline": ["more than 85 % are right", "the answer is right"],
    "three_ways/with_dask": ["148,933 primes"],
    "three_ways/with_ray": ["148,933 primes"],
    "three_ways/with_spark": ["148,933 primes"],
}
"""Lines of each example's output; seeds are fixed, so they are the same everywhere."""


def test_every_example_has_its_answer_here() -> None:
    found = {path.relative_to(EXAMPLES) for path in EXAMPLES.rglob("*.py")}
    no_programs = ("primes", "my_flow")  # a module beside them, and a flow (tests/flows)
    programs = {str(path.with_suffix("")) for path in found if path.stem not in no_programs}
    assert programs == set(ANSWERS)


@pytest.mark.parametrize("name", ANSWERS)
def test_an_example_runs_as_on_a_laptop(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if not k.startswith(("DASK_", "RAY_", "SPARK_"))},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(ANSWERS[name]) <= set(done.stdout.splitlines())
    assert list(tmp_path.iterdir()) == [], "nothing is left in the folder it was started from"


def framework_of(name: str) -> str:
    return next(word for word in ("dask", "ray", "spark") if word in name)


def spec_of(name: str) -> RunSpec:
    """As ``ebb run`` makes it, for one worker at first."""
    options = {"workers": "1..2", "framework": framework_of(name)}
    request = RunRequest(argv=(f"examples/{name}.py",), options=options)
    return spec_for(request, {}, ROOT)


@pytest.fixture(scope="module")
def held(request: pytest.FixtureRequest, home_of_module: Path) -> Iterator[Stand]:
    """A cluster that the examples of a folder and framework share, made for the first of them."""
    with standing(home_of_module, spec_of(request.param)) as stand:
        yield stand


@pytest.fixture
def folder(held: Stand, name: str) -> Path:
    """Of an example that has ended well on the cluster, once however many tests look at it."""
    job, program = spec_of(name).job, name.replace("/", "-")
    assert job is not None
    steps.run_program(held.attempt, program, job)
    return held.home / "runs" / held.attempt.spec.name / "programs" / program


def first_beside(name: str) -> str:
    """The cluster's workers import what lies beside the program that it was made for."""
    same = (name.rpartition("/")[0], framework_of(name))
    return next(each for each in ANSWERS if (each.rpartition("/")[0], framework_of(each)) == same)


ON_A_CLUSTER = [pytest.param(first_beside(name), name, id=name) for name in ANSWERS]


@pytest.mark.parametrize(("held", "name"), ON_A_CLUSTER, indirect=["held"], scope="module")
def test_an_example_runs_on_a_cluster(folder: Path, name: str) -> None:
    assert set(ANSWERS[name]) <= set((folder / "stdout.log").read_text().splitlines())
    if "dask" in name:  # the others greet on stderr, as they do on a laptop
        assert (folder / "stderr.log").read_text() == ""


REPORTS = "dask/futures_with_failures"


@pytest.mark.parametrize(
    ("held", "name"), [(first_beside(REPORTS), REPORTS)], indirect=["held"], scope="module"
)
def test_the_report_of_the_failures_is_kept(folder: Path) -> None:
    report = json.loads((folder / "output" / "report.json").read_text())
    assert sorted(report["written_off"]) == ["11", "22", "33"]
    assert sorted(report["again"]) == [10, 20, 30, 40]
