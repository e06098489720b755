"""A run that cannot be started ends with its real reason; nothing is left of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from ebbtide import cluster, run
from ebbtide.flows import launch as launching
from ebbtide.flows.cli import main as cli
from ebbtide.flows.cli.runs.viewer import Viewer
from ebbtide.infra.errors import EbbError, ProvisioningError
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.lifecycle.once import run_once
from ebbtide.infra.lifecycle.submission import RunRequest
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import ProcessRef
from ebbtide.infra.platforms.local.platform import LocalPlatform
from ebbtide.infra.processes.starting import Ours
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings
from tests.clusters import cluster_spec, run_spec, script
from tests.helpers import wait_until

STEPS = {
    "folders": (LocalPlatform, "_make_folders"),
    "guard": (LocalPlatform, "_start_guard"),
    "autoscaler": (LocalPlatform, "attach_autoscaler"),
    "job": (LocalPlatform, "start_job"),
    "flow": (launching, "Flow"),
}


@pytest.fixture
def program(ebb_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EBB_PREFECT_SERVER", "off")
    monkeypatch.chdir(tmp_path)
    return script(tmp_path, "import time; time.sleep(60)")


def fails(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/where")


def last_run(home: Path) -> Any:
    row = Ledger(home).row("SELECT * FROM runs ORDER BY created DESC LIMIT 1")
    assert row is not None
    return row


def assert_ended_with_its_reason(home: Path) -> None:
    row = last_run(home)
    assert (row["phase"], row["reason"]) == ("Failed", Reason.LAUNCH_FAILED)
    assert "/some/where: No space left on device" in row["detail"]
    assert LocalPlatform(Settings(home)).held() == []
    assert Ledger(home).living_clusters() == []
    assert Ledger(home).rows("SELECT * FROM shares") == []


@pytest.mark.parametrize("step", STEPS)
def test_ebb_run_says_what_stood_in_the_way(
    ebb_home: Path,
    program: Path,
    step: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(*STEPS[step], fails)
    assert cli.main(["run", "--name", "one", "--framework", "none", str(program)]) == 70
    said = capsys.readouterr().err
    assert "why   /some/where: No space left on device" in said
    assert said.endswith(
        f"{Reason.LAUNCH_FAILED} · run one has ended and what it held is released:"
        " see ebb why one\n"
    )
    assert "nothing was started" not in said
    assert_ended_with_its_reason(ebb_home)


@pytest.mark.parametrize("step", STEPS)
def test_from_python(
    ebb_home: Path, program: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*STEPS[step], fails)
    with pytest.raises(ProvisioningError, match=Reason.LAUNCH_FAILED):
        run(str(program), framework="none")
    assert_ended_with_its_reason(ebb_home)


@pytest.mark.parametrize("step", ["folders", "guard"])
def test_a_cluster_for_a_session(
    ebb_home: Path, program: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*STEPS[step], fails)
    with pytest.raises(ProvisioningError, match=Reason.LAUNCH_FAILED), cluster("dask"):
        pass
    assert_ended_with_its_reason(ebb_home)


@pytest.mark.parametrize("step", ["folders", "guard"])
def test_a_job_of_a_flow(
    ebb_home: Path, program: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*STEPS[step], fails)
    request = RunRequest(argv=(str(program),), options={"framework": "none", "retry": "never"})
    with pytest.raises(ProvisioningError, match=Reason.LAUNCH_FAILED):
        run_once(Settings(ebb_home), request, steps, key="key", flow_run_id="id")
    assert_ended_with_its_reason(ebb_home)


def test_what_watches_a_job_of_a_flow(ebb_home: Path, program: Path) -> None:
    request = RunRequest(argv=(str(program),), options={"framework": "none"})
    with pytest.raises(EbbError, match=Reason.LAUNCH_FAILED):
        run_once(Settings(ebb_home), request, steps, key="key", flow_run_id="id", watching=fails)
    assert_ended_with_its_reason(ebb_home)


def test_a_second_declare_leaves_a_living_cluster_alone(
    ebb_home: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = runs.begin(Ledger(ebb_home), run_spec("one", cluster_spec("none"), program))
    platform = LocalPlatform(Settings(ebb_home))
    living = platform.declare(spec, 1)
    monkeypatch.setattr(LocalPlatform, "_make_folders", fails)
    platform.declare(spec, 1)
    assert platform.supervised(living)
    platform.sweep(living)


def test_a_name_taken_meanwhile_is_followed_by_the_next(ebb_home: Path) -> None:
    ledger, spec = Ledger(ebb_home), run_spec("heron", cluster_spec("none"))
    assert [runs.begin(ledger, spec).name for _ in range(3)] == ["heron", "heron-2", "heron-3"]


def test_a_job_is_begun_with_its_key_and_its_driver_at_once(ebb_home: Path) -> None:
    ledger = Ledger(ebb_home)
    runs.begin(
        ledger, run_spec("heron", cluster_spec("none")), key="key", flow_process=ProcessRef(7)
    )
    run = ledger.run_of("key")
    assert run is not None
    assert (run.name, run.flow_process) == ("heron", ProcessRef(7))


def test_an_error_before_the_run_begins_started_nothing(
    ebb_home: Path, program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "--framework", "none", "no-such.py"]) == 64
    assert "nothing was started" in capsys.readouterr().err


def test_an_error_while_a_run_goes_on_does_not_say_that_nothing_was_started(
    ebb_home: Path,
    program: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def unreadable(*_: Any, **__: Any) -> Any:
        raise ProvisioningError(Reason.LEDGER_UNWRITABLE)

    monkeypatch.setattr(Viewer, "follow", unreadable)
    assert cli.main(["run", "--name", "one", "--framework", "none", str(program)]) == 75
    said = capsys.readouterr().err
    assert "nothing was started" not in said
    assert "run one had begun and may still hold something: see ebb held" in said
    wait_until(lambda: not LocalPlatform(Settings(ebb_home)).held(), 30, "it was stopped")


def test_what_cannot_be_released_is_not_said_to_be(
    ebb_home: Path,
    program: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(*STEPS["folders"], fails)
    monkeypatch.setattr(LocalPlatform, "sweep", lambda *_: ["something"])
    assert cli.main(["run", "--name", "one", "--framework", "none", str(program)]) == 70
    assert "run one had begun and may still hold something" in capsys.readouterr().err


def test_other_commands_do_not_speak_of_starting(
    ebb_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["why", "nobody"]) == 64
    assert capsys.readouterr().err.endswith("MISCONFIGURATION:RUN_UNKNOWN\n")


def test_a_machine_that_starts_no_more_processes_is_the_reason(
    ebb_home: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(Ours, "start", refused)
    with pytest.raises(ProvisioningError, match="Resource temporarily unavailable"):
        run(str(program), framework="none")
    assert last_run(ebb_home)["reason"] == Reason.LAUNCH_FAILED


def test_flow_of_a_run_that_could_not_be_launched_ends(
    ebb_home: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[launching.Flow] = []

    class Known(launching.Flow):
        def __init__(self, settings: Settings, run: RunName) -> None:
            super().__init__(settings, run)
            started.append(self)

    monkeypatch.setattr(launching, "Flow", Known)
    monkeypatch.setattr(*STEPS["job"], fails)
    with pytest.raises(ProvisioningError, match=Reason.LAUNCH_FAILED):
        run(str(program), framework="none")
    wait_until(lambda: started[0].ended, 30, "the flow process ends")
    assert_ended_with_its_reason(ebb_home)


def test_starter_that_dies_before_it_has_declared_a_cluster_leaves_no_run(
    ebb_home: Path, program: Path
) -> None:
    settings, ledger = Settings(ebb_home, prefect_server=False), Ledger(ebb_home)
    spec = runs.begin(ledger, run_spec("lost", cluster_spec("none"), program))
    flow = launching.Flow(settings, spec.name)
    flow.close()
    wait_until(lambda: flow.ended, 30, "the flow process ends")
    row = last_run(ebb_home)
    assert (row["phase"], row["reason"]) == ("Failed", Reason.STARTER_LOST)
