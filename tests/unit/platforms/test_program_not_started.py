"""A program that cannot be started here: by its own fault, or because the disk is full."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.local import processes
from ebbtide.infra.platforms.local.processes import ProcessContext
from ebbtide.infra.platforms.local.supervisor.program import Driver


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    place = ProcessContext(
        home=tmp_path, run=RunName("heron"), cluster=ClusterId("heron-1"), logs=tmp_path
    )
    return Driver(JobSpec(argv=("no-such-program",), workdir=str(tmp_path)), place)


def test_command_that_is_not_there_is_named(driver: Driver) -> None:
    driver.start(dict(os.environ))
    assert (driver.view.reason, driver.view.detail) == (
        Reason.NOT_STARTED,
        "no-such-program: No such file or directory",
    )


def test_full_disk_is_no_fault_of_the_program(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "stdout.log"))

    monkeypatch.setattr(processes, "start_program", refuse)
    driver.start(dict(os.environ))
    assert driver.view.reason is Reason.DISK_FULL
    assert driver.view.detail.startswith(f"{tmp_path}: No space left on device; ")
