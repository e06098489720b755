"""The commands that only read: what they say of runs that ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ebbtide.flows.cli.main import main
from ebbtide.infra.files.place import KubernetesPlace, place_file, remember_place
from ebbtide.infra.models.phases import ExitCode
from ebbtide.infra.settings import Settings
from tests.clusters import carried_out, cluster_spec, run_spec, script

Ebb = Callable[[str], tuple[int, str, str]]
KEYS: dict[str, set[str]] = {
    "ps -a": {
        *("program", "created", "next_tiers", "passed_over"),
        *("run", "phase", "reason", "framework", "tier", "workers_joined", "workers_wanted"),
        *("min_workers", "max_workers", "age_s", "exit_code", "why", "dashboard", "prefect"),
    },
    "why bad": {"run", "phase", "reason", "cause", "evidence", "fix", "exit_code"},
    "why --timing bad": {"run", "spans"},
    "held": {"held", "flows", "prefect_server", "stack", "orphans", "not_shown"},
    "tiers": {"source", "tiers"},
    "cost": {"by", "since", "sums", "total"},
    "cost good": {
        *("run", "job", "phase", "framework", "tier", "tags", "created", "peak_workers"),
        *("max_workers", "seconds", "asked_s", "used_s", "idle_s", "cost", "priced", "measured"),
        *("static_asked_s", "static_cost", "saved", "advice", "steps", "passed_over"),
        *("gpu_s", "gpu_type", "static_gpu_s", "unknown_s"),
    },
    "nodes": {
        *("at", "source", "pools", "shares", "queue", "clusters", "tiers"),
        *("others", "others_hidden", "not_shown"),
    },
    "doctor": {"check", "state", "detail", "fix"},
}
"""What ``--json`` gives, as each command's help says."""


@pytest.fixture(scope="module")
def history(home_of_module: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run that went well and one that failed."""
    for name, text in (("good", "print('fine')"), ("bad", "import sys; sys.exit('no such table')")):
        program = script(tmp_path_factory.mktemp(name), text)
        spec = run_spec(name, cluster_spec("none"), program, tags=(name, "both"))
        carried_out(home_of_module, spec)
    return home_of_module


@pytest.fixture(autouse=True)
def _at(history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBB_HOME", str(history))


@pytest.fixture
def ebb(capsys: pytest.CaptureFixture[str]) -> Ebb:
    def call(words: str) -> tuple[int, str, str]:
        code = main(words.split())
        return (code, *capsys.readouterr())

    return call


def test_ps_lists_living_runs_and_with_a_all(ebb: Ebb) -> None:
    assert "no run is going on" in ebb("ps")[2]
    lines = ebb("ps -a")[1].splitlines()
    assert lines[0].split()[:3] == ["RUN", "PHASE", "REASON"]
    assert any(line.split()[:3] == ["bad", "Failed", "JOB:EXIT_CODE"] for line in lines)


def test_logs_gives_what_the_program_printed(ebb: Ebb) -> None:
    assert ebb("logs good")[:2] == (0, "fine\n")


def test_why_gives_cause_evidence_and_fix(ebb: Ebb) -> None:
    said = ebb("why bad")[1]
    assert "cause     the program failed" in said
    assert "stderr: no such table" in said
    assert "fix       see ebb logs bad" in said


def test_cost_sums_by_tag_and_totals_each_run_once(ebb: Ebb) -> None:
    lines = ebb("cost --by tag")[1].splitlines()
    measured = lines[0].removesuffix("NOT MEASURED")
    assert measured.split() == ["TAG", "RUNS", "ASKED", "USED", "IDLE", "STATIC", "COST", "SAVED"]
    assert [line.split()[:2] for line in lines[1:-1]] == [
        ["bad", "1"],
        ["both", "2"],
        ["good", "1"],
        ["total", "2"],
    ]
    assert lines[-1].startswith("total ")
    assert "for 2 runs; 0 % less than static clusters" in lines[-1]


def test_cost_in_json_adds_up(ebb: Ebb) -> None:
    for by in ("day", "tier", "job", "tag --since 1h"):
        found = json.loads(ebb(f"cost --json --by {by}")[1])
        asked_s = sum(one["asked_s"] for one in found["sums"] if one["key"] != "both")
        assert asked_s == pytest.approx(found["total"]["asked_s"], abs=0.2), by


def test_cost_of_a_run_is_its_receipt(ebb: Ebb) -> None:
    lines = ebb("cost good")[1].splitlines()
    assert lines[0] == "good · Succeeded · program.py"
    assert lines[-1].startswith("total ")


def test_cost_since_a_moment_without_runs_says_so(ebb: Ebb) -> None:
    assert ebb("cost --since 1ms")[1:] == ("", "no runs in the last 1ms\n")


def test_cost_since_nonsense_is_a_mistake_with_a_fix(ebb: Ebb) -> None:
    code, _, said = ebb("cost --since yesterday")
    assert code == ExitCode.MISCONFIGURATION
    assert "write it like 90s, 10m or 1h30m" in said


def test_held_is_nothing_and_that_is_success(ebb: Ebb) -> None:
    assert ebb("held")[:2] == (ExitCode.OK, "Held now: nothing\n")


def test_nodes_shows_pools_and_tiers_and_says_that_nothing_runs(ebb: Ebb) -> None:
    code, table, said = ebb("nodes")
    assert code == ExitCode.OK
    headers = [line.split()[0] for line in table.splitlines() if line.isupper()]
    assert headers[:2] == ["POOL", "NODE"]
    assert "TIER" in table
    assert "nothing runs" in said


def test_stopping_what_has_ended_is_no_error(ebb: Ebb) -> None:
    code, _, said = ebb("stop good")
    assert code == ExitCode.OK
    assert "had ended already" in said


@pytest.fixture
def _gone_kubernetes(
    history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """It was used last, and nothing leads to it any more."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("EBB_CONTEXT", "gone")
    remember_place(Settings(home=history), KubernetesPlace(context="gone"))
    yield
    place_file(Settings(home=history)).unlink()


@pytest.mark.usefixtures("_gone_kubernetes")
@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ("metrics", 'ebb_runs_ended{framework="none",phase="Failed",reason="JOB:EXIT_CODE"} 1.0'),
        ("ps -a", "bad"),
    ],
)
def test_kubernetes_that_cannot_be_asked_hides_no_run_of_this_machine(
    ebb: Ebb, words: str, printed: str
) -> None:
    code, found, said = ebb(words)
    assert (code, printed in found) == (ExitCode.OK, True)
    assert "there is no way to a Kubernetes" in said


@pytest.mark.usefixtures("_gone_kubernetes")
def test_kubernetes_that_cannot_be_asked_hides_nothing_of_this_machine(
    ebb: Ebb, history: Path
) -> None:
    code, printed, said = ebb("held")
    assert (code, printed) == (ExitCode.INFRASTRUCTURE, "Held now: nothing on this machine\n")
    assert "what is held there is not known" in said
    assert f"rm {place_file(Settings(home=history))}" in said


@pytest.mark.parametrize("words", ["logs goood", "why goood", "stop goood"])
def test_unknown_run_is_refused_with_the_nearest_name(ebb: Ebb, words: str) -> None:
    code, _, said = ebb(words)
    assert code == ExitCode.MISCONFIGURATION
    assert "did you mean good?" in said


def test_unknown_command_is_refused_with_the_nearest_word(ebb: Ebb) -> None:
    code, _, said = ebb("hold")
    assert (code, "held" in said) == (ExitCode.MISCONFIGURATION, True)


@pytest.mark.parametrize("words", KEYS)
def test_json_has_the_keys_its_help_names(ebb: Ebb, words: str) -> None:
    found = json.loads(ebb(f"{words} --json")[1])
    first = found[0] if isinstance(found, list) else found
    assert KEYS[words] == set(first)


@pytest.mark.parametrize("words", [*KEYS, "logs good", "why good", "run --plan hello"])
def test_reading_does_not_import_prefect(words: str) -> None:
    ebb = str(Path(sys.executable).with_name("ebb"))
    done = subprocess.run(
        [ebb, *words.split()],
        env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == ExitCode.OK
    assert "ebbtide.infra.records.ledger" in done.stderr
    assert "| prefect" not in done.stderr
