"""The ledger's rules: orders add up, events keep their order, the file protects itself."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra import waiting
from ebbtide.infra.errors import ConfigurationError, ProvisioningError
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.orders import Autoscale, Orders, Release, StartJob
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import Event, EventKind, Reserved, Run
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.records.sqlite import database
from ebbtide.infra.records.sqlite.schema import SCHEMA, UPGRADES

HERON = RunName("heron")
HERON_1 = ClusterId("heron-1")

NOTE = Event(run=HERON, kind=EventKind.NOTE, message="from elsewhere")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "home")
    ledger.reserve(Run(name=HERON, spec_json="{}"))
    ledger.add_cluster(HERON_1, HERON, attempt=1, pool="local", lease_s=5)
    return ledger


def test_home_is_private(ledger: Ledger) -> None:
    assert ledger.path.parent.stat().st_mode & 0o077 == 0


def test_cluster_added_twice_is_one(ledger: Ledger) -> None:
    ledger.add_cluster(HERON_1, HERON, attempt=1, pool="local", lease_s=5)
    assert len(ledger.living_clusters(HERON)) == 1


def test_orders_add_up(ledger: Ledger) -> None:
    ledger.order(HERON_1, Autoscale())
    ledger.order(HERON_1, StartJob())
    cluster = ledger.cluster(HERON_1)
    assert cluster is not None
    assert cluster.orders == Orders(autoscale=True, job=True)


def test_renewing_an_unknown_cluster_says_so(ledger: Ledger) -> None:
    assert ledger.renew(HERON_1)
    assert not ledger.renew(ClusterId("nobody-1"))


def test_events_come_in_order_and_only_once(ledger: Ledger) -> None:
    ledger.append(replace(NOTE, message="one", cluster=HERON_1, data={"extra": 1}))
    ledger.append(replace(NOTE, message="two"))
    first = ledger.events(HERON)
    assert [event.message for event in first] == ["one", "two"]
    assert ledger.events(HERON, after=first[-1].id) == []


def forget_all_and_fail(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        connection.execute("DELETE FROM runs")
        raise ZeroDivisionError


def test_transaction_that_fails_changes_nothing(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError):
        forget_all_and_fail(ledger)
    assert ledger.run(HERON) is not None


def test_version_changes_when_another_writes(ledger: Ledger) -> None:
    before = ledger.version()
    Ledger(ledger.path.parent).append(NOTE)
    assert ledger.version() != before


def test_newer_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    Ledger(tmp_path).reserve(Run(name=HERON, spec_json="{}"))
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigurationError) as error:
        Ledger(tmp_path).run(HERON)
    assert error.value.reason is Reason.LEDGER_NEWER
    assert len(list(tmp_path.glob("ledger*.sqlite"))) == 1


def test_corrupt_ledger_is_moved_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"this is not a database" * 100)
    ledger = Ledger(tmp_path)
    assert ledger.rows("SELECT * FROM runs") == []
    assert ledger.moved_aside is not None
    assert ledger.moved_aside.read_bytes().startswith(b"this is not")


def test_ledger_that_was_replaced_is_opened_anew(ledger: Ledger) -> None:
    other = ledger.path.with_name("other.sqlite")
    Ledger(ledger.path.parent).close()
    os.rename(ledger.path, other)
    assert ledger.run(HERON) is None


def test_home_that_cannot_be_made_is_a_problem_with_a_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError) as error:
        Ledger(tmp_path / "file" / "home").run(HERON)
    assert (error.value.reason, error.value.hint) == (
        Reason.NO_PERMISSION,
        "set EBB_HOME to a folder of yours",
    )


def test_ledger_that_another_locks_is_a_temporary_infrastructure_error(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ebbtide.infra.records.sqlite.database._BUSY_TIMEOUT_S", 0.01)
    with ledger.transaction(), pytest.raises(ProvisioningError) as error:
        Ledger(ledger.path.parent).renew(ClusterId("heron-1"))
    assert error.value.reason is Reason.LEDGER_UNWRITABLE
    assert "another process is writing to it" in error.value.hint


def test_new_ledger_that_another_makes_at_once_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite refuses the switch to its write-ahead log at once, whatever its time-out is."""
    other = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    def wait_until(probe: Callable[[], bool], *, timeout_s: float) -> bool:
        assert not probe()
        other.execute("COMMIT")
        other.close()
        return waiting.wait_until(probe, timeout_s=timeout_s)

    monkeypatch.setattr(database, "wait_until", wait_until)
    ledger = Ledger(tmp_path)
    assert ledger.runs() == []
    ledger.close()


def test_name_that_is_taken_is_not_told_as_a_full_disk(ledger: Ledger) -> None:
    assert ledger.reserve(Run(name=RunName("heron"), spec_json="{}")) is Reserved.NAME_TAKEN
    with pytest.raises(sqlite3.IntegrityError):
        ledger.write("INSERT INTO runs SELECT * FROM runs")


def test_ledger_of_the_version_before_is_brought_up_to_date(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "ledger.sqlite")
    for statement in SCHEMA.split(";"):
        old.execute(statement)
    old.execute("INSERT INTO runs (name, spec, phase, created) VALUES ('egret', '{}', 'Queued', 1)")
    old.execute("PRAGMA user_version = 1")
    old.commit()
    old.close()
    run = Ledger(tmp_path).run(RunName("egret"))
    assert run is not None
    assert (run.flow_run_id, run.owner) == (None, "")
    assert "gpus" in {row["name"] for row in Ledger(tmp_path).rows("PRAGMA table_info(spans)")}
    assert [tuple(row) for row in Ledger(tmp_path).rows("SELECT tags FROM runs")] == [("[]",)]


def test_who_released_a_cluster_and_why_are_told_apart_in_an_older_ledger(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "ledger.sqlite")
    for statement in (*SCHEMA.split(";"), *UPGRADES[1].split(";")):
        old.execute(statement)
    old.executemany(
        "INSERT INTO clusters (id, run, attempt, pool, state, beat, lease_s, orders, view, created,"
        " released_at, released_by) VALUES (?, 'r', 1, 'p', 'released', 0, 5, ?, '{}', 1, 2, ?)",
        [
            ("r-1", '{"release": {"reason": "", "at_once": false, "at": 2.0}}', "supervisor"),
            ("r-2", '{"autoscale": true}', "guard INFRA:SUPERVISOR_LOST"),
        ],
    )
    old.execute("PRAGMA user_version = 2")
    old.commit()
    old.close()
    ledger = Ledger(tmp_path)
    well, lost = ledger.cluster(ClusterId("r-1")), ledger.cluster(ClusterId("r-2"))
    assert well is not None
    assert lost is not None
    assert (well.released_by, well.release_reason) == ("supervisor", None)
    assert well.orders == Orders(release=Release(at=2.0))
    assert (lost.released_by, lost.release_reason) == ("guard", Reason.SUPERVISOR_LOST)
    assert lost.orders == Orders(autoscale=True)
