"""Where a job that is told apart by a key stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ebbtide.infra.errors import JobError
from ebbtide.infra.lifecycle.once import Done, New, Running, look_up
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from tests.clusters import cluster_spec, run_spec

KEY = "flow/job"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path)
    yield ledger
    ledger.close()


def begin(store: Ledger, name: str) -> RunName:
    return runs.begin(store, run_spec(name, cluster_spec("none")), key=KEY).name


def test_what_was_never_asked_for_is_new(store: Ledger) -> None:
    runs.begin(store, run_spec("other", cluster_spec("none")), key="flow/other")
    assert look_up(store, KEY) == New()


def test_a_run_that_has_not_ended_is_running(store: Ledger) -> None:
    name = begin(store, "heron")
    found = look_up(store, KEY)
    assert isinstance(found, Running)
    assert found.run.name == name


def test_a_run_that_succeeded_is_done(store: Ledger) -> None:
    name = begin(store, "heron")
    runs.end(store, name, None, 0)
    found = look_up(store, KEY)
    assert isinstance(found, Done)
    assert found.run.name == name


@pytest.mark.parametrize("reason", [Reason.EXIT_CODE, Reason.CANCELLED])
def test_what_failed_or_was_stopped_is_new(store: Ledger, reason: Reason) -> None:
    runs.end(store, begin(store, "heron"), JobError(reason), 1)
    assert look_up(store, KEY) == New()


def test_the_latest_run_decides(store: Ledger) -> None:
    runs.end(store, begin(store, "heron"), JobError(Reason.EXIT_CODE), 1)
    begin(store, "egret")
    assert isinstance(look_up(store, KEY), Running)
