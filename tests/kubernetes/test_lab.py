"""The lab itself: up twice, beside another, down with nothing left, whatever happened before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import wait_until
from tests.kubernetes.lab import control_plane, namespace, parts, resources, up
from tests.kubernetes.lab.__main__ import main, say
from tests.kubernetes.lab.place import Lab, cache, find


@pytest.fixture
def other(lab: Lab) -> Iterator[str]:
    """The name of a second lab; its programs are built because the first one stands."""
    name = f"{lab.name}-other"
    yield name
    assert up.down(name) == []


def test_second_lab_stands_beside_the_first(lab: Lab, other: str) -> None:
    second = up.up(other, (), say)
    assert second.server != lab.server
    assert (control_plane.ready(second), control_plane.ready(lab)) == (True, True)


def test_up_again_keeps_what_runs_and_starts_what_has_ended(lab: Lab, other: str) -> None:
    first = up.up(other, (), say)
    server, scheduler = (parts.pid_of(first, part) for part in ("kube-apiserver", "kube-scheduler"))
    parts.kill(first, "kube-scheduler")
    again = up.up(other, (), say)
    assert parts.pid_of(again, "kube-apiserver") == server
    assert parts.pid_of(again, "kube-scheduler") not in (0, scheduler)


def test_down_leaves_nothing_after_a_kill_of_who_brought_it_up(lab: Lab, other: str) -> None:
    words = [sys.executable, "-m", "tests.kubernetes.lab", "up", "--name", other, "--level"]
    starter = subprocess.Popen([*words, "simulated"], cwd=Path(__file__).parents[2])
    wait_until(lambda: parts.pid_of(find(other), "kube-apiserver"), 60, "it is half up")
    starter.kill()
    starter.wait()
    half = find(other)
    assert namespace.leftovers(half) != []
    assert up.down(other) == []
    assert namespace.leftovers(half) == []
    assert not (cache() / "labs" / other).exists()


def test_lab_whose_first_process_was_killed_is_made_anew(lab: Lab, other: str) -> None:
    first = up.up(other, (), say)
    os.kill(first.init_pid, signal.SIGKILL)
    wait_until(lambda: not namespace.processes(first), 30, "the kernel ended all of it")
    assert control_plane.ready(up.up(other, (), say))


def test_down_takes_a_real_nodes_cgroups_mounts_and_link_away(lab: Lab, other: str) -> None:
    second = up.up(other, ("node",), say)
    assert namespace.cgroups(second) != []
    assert up.down(other) == []
    assert not list(Path("/sys/fs/cgroup").glob(f"*/ebb-lab-{other}"))
    assert not Path("/sys/class/net", second.link).exists()
    assert str(second.folder) not in Path("/proc/self/mounts").read_text()
    assert namespace.processes(second) == {}


def test_control_plane_and_node_take_less_memory_than_promised(lab: Lab) -> None:
    assert 0 < resources.memory_mib(lab) < resources.MOST_MIB


def test_status_tells_what_a_lab_takes(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--seconds", "0.1"]) == 0
    said = capsys.readouterr().out
    assert f"lab {lab.name}:" in said
    assert "% of a core" in said
