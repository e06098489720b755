"""Each example runs unchanged, on a laptop and on a cluster of its own, with the right answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ebbtide.infra.lifecycle import steps
from ebbtide.infra.lifecycle.attempts import carry_out
from ebbtide.infra.lifecycle.submission import RunRequest, spec_for
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import load_settings

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


@pytest.mark.parametrize("name", ANSWERS)
def test_an_example_runs_on_a_cluster_of_its_own(name: str, ebb_home: Path) -> None:
    folder = _run(name, ebb_home)
    assert set(ANSWERS[name]) <= set((folder / "stdout.log").read_text().splitlines())
    if "dask" in name:  # the others greet on stderr, as they do on a laptop
        assert (folder / "stderr.log").read_text() == ""


def test_the_report_of_the_failures_is_kept(ebb_home: Path) -> None:
    report = json.loads(
        (_run("dask/futures_with_failures", ebb_home) / "output/report.json").read_text()
    )
    assert sorted(report["written_off"]) == ["11", "22", "33"]
    assert sorted(report["again"]) == [10, 20, 30, 40]


def _run(name: str, home: Path) -> Path:
    """Run it without Prefect, on one worker at first; gives the folder of the run."""
    settings, ledger = load_settings(), Ledger(home)
    framework = next(word for word in ("dask", "ray", "spark") if word in name)
    options = {"workers": "1..2", "framework": framework}
    request = RunRequest(argv=(f"examples/{name}.py",), options=options)
    spec = spec_for(request, ledger, {}, ROOT)
    runs.begin(ledger, spec)
    carry_out(settings, ledger, spec, steps)
    ledger.close()
    return settings.run_folder(spec.name)
