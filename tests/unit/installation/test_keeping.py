"""What goes of ended runs, and what never does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ebbtide.infra.installation.keeping import beyond, keep_to_limits, prune
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.keep import Keep, parse_keep
from ebbtide.infra.models.records import Event, EventKind, Run
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s

DAY_S = 86_400.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def add(settings: Settings, run: str, *, days_ago: float | None, size: int = 4096) -> Ledger:
    """A run with a cluster, rows and a folder; it has ended unless ``days_ago`` is None."""
    ledger = Ledger(settings.home)
    ledger.reserve(Run(name=RunName(run), spec_json="{}"))
    ledger.add_cluster(ClusterId(f"{run}-1"), RunName(run), attempt=1, pool="local", lease_s=30)
    ledger.append(Event(run=RunName(run), kind=EventKind.NOTE, message="x" * 1000))
    folder = settings.run_folder(run)
    folder.mkdir(parents=True)
    (folder / "stdout.log").write_bytes(os.urandom(size))
    if days_ago is not None:
        ledger.update_cluster(ClusterId(f"{run}-1"), released_at=wall_s())
        ledger.update_run(RunName(run), ended=wall_s() - days_ago * DAY_S, phase="Succeeded")
    return ledger


def names(settings: Settings, keep: Keep) -> list[str]:
    return [one.run for one in beyond(settings, Ledger(settings.home), keep)]


@pytest.mark.parametrize(
    ("words", "keep"),
    [
        (["30d"], Keep(age_s=30 * DAY_S)),
        (["1000 runs"], Keep(runs=1000)),
        (["20Gi"], Keep(bytes_=20 * 2**30)),
        (["20 GiB", "12h"], Keep(age_s=12 * 3600, bytes_=20 * 2**30)),
    ],
)
def test_keep_is_an_age_a_number_a_size_or_several(words: list[str], keep: Keep) -> None:
    assert parse_keep(words) == keep


def test_keep_that_is_none_of_them_names_the_spellings() -> None:
    with pytest.raises(ValueError, match="30d, a number like 1000 runs, or a size like 20Gi"):
        parse_keep(["many"])


def test_old_ones_go_and_those_that_live_or_hold_something_never(settings: Settings) -> None:
    add(settings, "old", days_ago=40)
    add(settings, "new", days_ago=1)
    add(settings, "lives", days_ago=None)
    add(settings, "holds", days_ago=40).update_cluster(ClusterId("holds-1"), released_at=None)
    flow = add(settings, "driven", days_ago=40)
    flow.update_run(
        RunName("driven"), flow_pid=os.getpid(), flow_started=marks.started_ticks(os.getpid())
    )
    assert names(settings, Keep(age_s=30 * DAY_S)) == ["old"]


def test_job_of_a_flow_that_lives_is_kept_for_its_retry(settings: Settings) -> None:
    ledger = add(settings, "job", days_ago=40)
    ledger.update_run(RunName("job"), job_key="flow-1/prepare")
    ledger.register_process("flow-1", "mine", marks.this_process())
    assert names(settings, Keep(runs=0)) == []


def test_number_and_size_keep_the_latest(settings: Settings) -> None:
    for number in range(4):
        add(settings, f"run-{number}", days_ago=number, size=2**20)
    assert names(settings, Keep(runs=3)) == ["run-3"]
    assert names(settings, Keep(bytes_=5 * 2**19)) == ["run-2", "run-3"]


def test_nothing_is_kept_back_without_a_limit(settings: Settings) -> None:
    add(settings, "old", days_ago=4000)
    assert names(settings, Keep()) == []


def test_prune_deletes_folder_and_rows_and_says_what_it_freed(settings: Settings) -> None:
    for number in range(50):
        ledger = add(settings, f"old-{number}", days_ago=40, size=2**16)
    add(settings, "new", days_ago=0)
    for _ in range(5000):
        ledger.append(Event(run=RunName("old-1"), kind=EventKind.NOTE, message="x" * 500))
    before = (settings.home / "ledger.sqlite").stat().st_size
    old = beyond(settings, ledger, Keep(age_s=DAY_S))
    freed = prune(settings, ledger, old)
    assert [folder.name for folder in settings.runs.iterdir()] == ["new"]
    for table, column in (("runs", "name"), ("clusters", "run"), ("events", "run")):
        found = ledger.rows(f"SELECT DISTINCT {column} FROM {table}")
        assert [row[0] for row in found] == ["new"], table
    after = (settings.home / "ledger.sqlite").stat().st_size
    assert after < before / 2, "the file has shrunk"
    assert freed > 50 * 2**16


def test_run_that_came_to_life_since_it_was_chosen_is_left(settings: Settings) -> None:
    ledger = add(settings, "old", days_ago=40)
    old = beyond(settings, ledger, Keep(age_s=DAY_S))
    ledger.update_cluster(ClusterId("old-1"), released_at=None)
    prune(settings, ledger, old)
    assert settings.run_folder("old").is_dir()
    assert ledger.run(RunName("old")) is not None


def test_folder_that_a_killed_prune_left_goes_with_the_next(settings: Settings) -> None:
    ledger = add(settings, "old", days_ago=40)
    settings.run_folder("old").rename(settings.runs / ".pruned-old")
    prune(settings, ledger, [])
    assert list(settings.runs.iterdir()) == []


def test_reaper_does_what_ebb_yaml_says_once_an_hour(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ebb.yaml").write_text("keep: [30d, 1000 runs]\n")
    monkeypatch.setenv("EBB_CONFIG", str(tmp_path / "ebb.yaml"))
    add(settings, "old", days_ago=40)
    assert keep_to_limits(settings).startswith("deleted 1 runs beyond 30d, 1000 runs")
    add(settings, "older", days_ago=50)
    assert keep_to_limits(settings) == ""
    assert keep_to_limits(settings, every_s=0).startswith("deleted 1 runs")
