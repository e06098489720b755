"""One command after another on a machine judges a Lease, as one long process would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.platforms.kubernetes.clusters import fencing, sightings
from ebbtide.infra.platforms.kubernetes.clusters.fencing import judge_anew, judged, me
from ebbtide.infra.platforms.kubernetes.clusters.sightings import remembered

DURATION_S = 30
Command = Callable[..., bool]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """A process of its own that looks at one Lease, at a time on the machine's clock."""

    def look(
        at_s: float, *, renewed: str = "10:00", holder: str = "pod-a", uid: str = "u-1"
    ) -> bool:
        for module in (fencing, sightings):
            monkeypatch.setattr(module, "now_s", lambda: at_s)
        judge_anew()
        spec = {"renewTime": renewed, "holderIdentity": holder, "leaseDurationSeconds": DURATION_S}
        lease: dict[str, Any] = {"metadata": {"uid": uid}, "spec": spec}
        with remembered(tmp_path):
            return judged(lease)

    return look


def test_third_command_that_sees_it_unchanged_knows_that_it_has_lapsed(command: Command) -> None:
    assert [command(at_s) for at_s in (100, 120, 140)] == [False, False, True]


def test_time_between_two_commands_is_no_proof(command: Command) -> None:
    """The API server may have been away: nobody could have renewed it."""
    assert [command(at_s) for at_s in (100, 5000)] == [False, False]


def test_renewal_in_between_counts_anew(command: Command) -> None:
    assert not command(100)
    assert not command(120, renewed="10:20")
    assert not command(140, renewed="10:20")
    assert command(160, renewed="10:20")


def test_another_boot_has_another_clock(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [command(at_s) for at_s in (100, 120)] == [False, False]
    monkeypatch.setattr(sightings, "_clock", lambda: "another boot")
    assert not command(140)


def test_what_this_process_holds_lives(command: Command) -> None:
    assert not any(command(at_s, holder=me()) for at_s in (100, 120, 140, 160))


@pytest.mark.parametrize("text", ["", "[]", '{"clock": 1}', '{"leases": {"u-1": {}}}'])
def test_file_that_is_no_memory_is_begun_anew(command: Command, tmp_path: Path, text: str) -> None:
    (tmp_path / "leases.json").write_text(text)
    assert [command(at_s) for at_s in (100, 120, 140)] == [False, False, True]
    assert (tmp_path / "leases.json").stat().st_mode & 0o077 == 0


def test_nothing_is_written_where_there_is_no_home_or_no_lease(tmp_path: Path) -> None:
    judge_anew()
    with remembered(tmp_path):
        pass
    with remembered(tmp_path / "missing"):
        judged({"metadata": {"uid": "u-2"}, "spec": {"leaseDurationSeconds": 30}})
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_looks_at_any_more_is_forgotten(command: Command, tmp_path: Path) -> None:
    command(100)
    command(10**6, uid="u-2")
    assert "u-1" not in (tmp_path / "leases.json").read_text()
