"""Programs for a laptop, unchanged: each way of Dask's tutorials to get a cluster has the run's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clusters import Outcome, carried_out, run_spec
from tests.contract.conftest import small
from tests.local.programs.dask_spellings import OTHERS, OWN, SPELLINGS

PROGRAM = Path(__file__).parent / "programs" / "dask_spellings.py"
BARE = ("n_workers", "in-process", "async-with", "scaled", "its-client", "without-client")
VALUE = sum(number * number for number in range(10))


@pytest.fixture(scope="module")
def given(home_of_module: Path) -> Outcome:
    """All that cannot be had beside a given cluster, and one that can."""
    words = (*SPELLINGS, "local-cluster", "without-client", "debugged", "other-address")
    return carried_out(home_of_module, run_spec("given", small("dask", 2), PROGRAM, words=words))


@pytest.fixture(scope="module")
def bridged(home_of_module: Path) -> Outcome:
    spec = run_spec("bridged", small("dask", 2), PROGRAM, words=(*OWN, *OTHERS), bridge=True)
    return carried_out(home_of_module, spec)


def found(outcome: Outcome) -> dict[str, dict[str, Any]]:
    assert outcome.error is None, outcome.errors()
    return {line["name"]: line for line in map(json.loads, outcome.output().splitlines())}


@pytest.mark.parametrize("name", SPELLINGS)
def test_client_that_would_make_a_cluster_has_the_runs(given: Outcome, name: str) -> None:
    one = found(given)[name]
    assert (one["value"], one["where"]) == (VALUE, found(given)["plain"]["where"])
    assert one["where"].startswith("tls://")


def test_what_was_asked_for_and_is_not_had_is_said_in_one_line(given: Outcome) -> None:
    lines = (given.folder / "stderr.log").read_text().splitlines()
    own = "this run has a cluster of its own, with 1..2 workers; connected to it"
    assert f"ebb: Client(n_workers=4): {own}" in lines
    assert not [line for line in lines if "Client():" in line]
    more = (
        "ebb: cluster.adapt(maximum=20): this run may have 2 workers; --workers 1..20 allows more"
    )
    assert more in lines


def test_what_goes_past_the_runs_cluster_is_noted(given: Outcome) -> None:
    notes = next(given.folder.glob("notes-*.jsonl")).read_text().splitlines()
    own = {note["what"] for note in map(json.loads, notes) if note["kind"] == "own-cluster"}
    assert own == {"a LocalCluster", "Dask's threaded scheduler", "Client('127.0.0.1:9')"}
    assert found(given)["without-client"]["where"] == "here"
    assert found(given)["local-cluster"]["where"] != found(given)["plain"]["where"]


def test_what_its_tasks_did_is_kept_as_a_page(given: Outcome) -> None:
    page = (given.folder / "artifacts" / "head" / "task-stream.html").read_text()
    assert page.startswith("<!doctype html>")
    assert '"names":["square"' in page
    assert '"lanes":["worker-' in page


@pytest.mark.parametrize("name", [*OWN, "other-address"])
def test_bridge_leads_it_to_the_runs_cluster(bridged: Outcome, name: str) -> None:
    the_runs = found(bridged)["local-cluster"]["where"]
    assert the_runs.startswith("tls://")
    one = found(bridged)[name]
    assert one["value"] == VALUE
    assert one["where"] in ("elsewhere", the_runs)


def test_bridge_leaves_the_scheduler_for_debugging(bridged: Outcome) -> None:
    assert found(bridged)["debugged"]["where"] == "here"


def test_bridge_says_so(bridged: Outcome) -> None:
    lines = (bridged.folder / "stderr.log").read_text().splitlines()
    assert "ebb: LocalCluster(): with --bridge it is this run's own cluster" in lines
    assert any("Dask's threaded scheduler: with --bridge" in line for line in lines)


def test_same_values_without_ebb(tmp_path: Path) -> None:
    """One of each kind: on a laptop each of them starts processes."""
    argv = [sys.executable, str(PROGRAM), *BARE]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["value"] for line in done.stdout.splitlines()] == [VALUE] * len(BARE)
