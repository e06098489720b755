"""What this machine gives, with the limits of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebbtide.infra.request.machine import this_machine


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_without_control_groups_it_is_the_hardware(tmp_path: Path) -> None:
    machine = this_machine(tmp_path)
    assert machine.cpu_millis >= 1000
    assert machine.memory_bytes > 2**26


@pytest.mark.parametrize("group", ["", "a.slice/", "a.slice/b.scope/"], ids=["top", "mid", "own"])
def test_the_tightest_group_of_version_2_counts(tmp_path: Path, group: str) -> None:
    limits = {f"sys/fs/cgroup/{group}cpu.max": "50000 100000\n",
              f"sys/fs/cgroup/{group}memory.max": "1048576\n"}  # fmt: skip
    write(tmp_path, {"proc/self/cgroup": "0::/a.slice/b.scope\n", **limits})
    machine = this_machine(tmp_path)
    assert (machine.cpu_millis, machine.memory_bytes) == (500, 1048576)


def test_version_1_counts(tmp_path: Path) -> None:
    base = "sys/fs/cgroup/"
    write(tmp_path, {
        "proc/self/cgroup": "4:memory:/box\n2:cpu,cpuacct:/box\n",
        base + "cpu/box/cpu.cfs_quota_us": "25000\n",
        base + "cpu/box/cpu.cfs_period_us": "100000\n",
        base + "memory/memory.limit_in_bytes": "2097152\n",
    })  # fmt: skip
    machine = this_machine(tmp_path)
    assert (machine.cpu_millis, machine.memory_bytes) == (250, 2097152)


def test_no_limit_is_no_limit(tmp_path: Path) -> None:
    hardware = this_machine(tmp_path)
    files = {"cpu.max": "max 100000\n", "memory.max": "max\n", "cpu.cfs_quota_us": "-1\n"}
    write(tmp_path, {f"sys/fs/cgroup/{name}": text for name, text in files.items()})
    write(tmp_path, {"proc/self/cgroup": "0::/\n"})
    assert this_machine(tmp_path) == hardware
