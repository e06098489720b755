"""Limits of control groups where they are odd: tiny, above the mount, without a period."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ebbtide.infra.models.resources import Resources
from ebbtide.infra.request.machine import this_machine

PAGE, PAGES = 4096, 2**20
GROUP = "sys/fs/cgroup/box"


@pytest.fixture(autouse=True)
def hardware(monkeypatch: pytest.MonkeyPatch) -> Resources:
    """Eight cores and 4 GiB, and this process may run on all of them."""
    monkeypatch.setattr(
        os, "sched_getaffinity", lambda pid: range(8) if pid == 0 else (), raising=False
    )
    known = {"SC_PHYS_PAGES": PAGES, "SC_PAGE_SIZE": PAGE}
    monkeypatch.setattr(os, "sysconf", known.__getitem__)
    return Resources(8000, PAGES * PAGE)


def root(folder: Path, **files: str) -> Path:
    """A root of files; ``cpu_max`` stands for ``cpu.max`` in the group."""
    write(folder / "proc/self/cgroup", "0::/box\n")
    for name, text in files.items():
        write(folder / GROUP / name.replace("_", ".", 1), text)
    return folder


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_hardware_is_the_cores_of_this_process_and_all_pages(
    tmp_path: Path, hardware: Resources
) -> None:
    assert this_machine(tmp_path) == hardware


@pytest.mark.parametrize(("counted", "millis"), [(6, 6000), (None, 1000)])
def test_where_no_affinity_is_known_all_cores_count_and_at_least_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: int | None, millis: int
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: counted)
    assert this_machine(tmp_path).cpu_millis == millis


@pytest.mark.parametrize(
    ("cpu_max", "millis"),
    [("100000 100000", 1000), ("150000 100000", 1500), ("1 100000", 1), ("199999 100000", 1999)],
    ids=["one core", "one and a half", "next to nothing", "rounded down"],
)
def test_quota_is_in_thousandths_of_a_core(tmp_path: Path, cpu_max: str, millis: int) -> None:
    assert this_machine(root(tmp_path, cpu_max=cpu_max)).cpu_millis == millis


@pytest.mark.parametrize(
    "files",
    [
        {"cpu_max": "max 100000"},
        {"cpu_max": "50000"},
        {"cpu_max": ""},
        {"cpu_cfs_quota_us": "-1", "cpu_cfs_period_us": "100000"},
        {"cpu_cfs_quota_us": "50000"},
        {"cpu_cfs_period_us": "100000"},
        {"cpu_cfs_quota_us": "50000", "cpu_cfs_period_us": "0"},
    ],
    ids=str,
)
def test_quota_without_a_number_or_a_period_is_no_limit(
    tmp_path: Path, files: dict[str, str]
) -> None:
    assert this_machine(root(tmp_path, **files)).cpu_millis == 8000


@pytest.mark.parametrize(
    "files",
    [{"memory_max": "1048576"}, {"memory_limit_in_bytes": "1048576"}],
    ids=["version 2", "version 1"],
)
def test_memory_has_a_limit_by_either_version(tmp_path: Path, files: dict[str, str]) -> None:
    assert this_machine(root(tmp_path, **files)).memory_bytes == 1048576


def test_limit_above_the_hardware_is_none(tmp_path: Path, hardware: Resources) -> None:
    files = {"cpu_max": "900000 100000", "memory_max": str(2**40)}
    assert this_machine(root(tmp_path, **files)) == hardware


def test_nothing_above_the_mount_is_a_limit(tmp_path: Path, hardware: Resources) -> None:
    for folder in ("sys/fs", "sys", "."):
        write(tmp_path / folder / "cpu.max", "1000 100000")
        write(tmp_path / folder / "memory.max", "1048576")
    assert this_machine(root(tmp_path)) == hardware


def test_colon_in_a_groups_name_is_part_of_it(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/a:b\n")
    write(tmp_path / "sys/fs/cgroup/a:b/memory.max", "1048576")
    assert this_machine(tmp_path).memory_bytes == 1048576
