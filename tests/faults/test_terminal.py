"""Whatever happens to the terminal an ``ebb run`` was typed in, nothing is left."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from collections.abc import Mapping

import pytest

from ebbtide.flows.prefect_server import api
from ebbtide.infra.models.phases import ExitCode
from tests.faults.stage import ITS_CODE, RUN, Stage
from tests.flows.flow_runs import call
from tests.helpers import wait_until


class Terminal:
    """``ebb run`` in a terminal, or in none."""

    def __init__(
        self, stage: Stage, prefect: Mapping[str, str], *, tty: bool = False, preamble: str = ""
    ):
        stage.spec()  # writes the program
        program = stage.work / "program.py"
        program.write_text(preamble + program.read_text())
        self.screen = b""
        argv = [stage.ebb, "run", "--framework", "none", "--name", RUN, "program.py"]
        how = {"cwd": stage.work}
        if not tty:
            self.process = stage.popen(argv, prefect, **how)
            return
        self._ours, theirs = pty.openpty()
        ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
        self.process = stage.popen(argv, prefect, **how, **ends)
        os.close(theirs)
        os.set_blocking(self._ours, False)

    def wait_for(self, words: bytes) -> None:
        """Until the screen has shown these words."""

        def shown() -> bool:
            try:
                self.screen += os.read(self._ours, 65536)
            except (BlockingIOError, OSError):
                return words in self.screen
            return words in self.screen

        wait_until(shown, 60, f"the screen shows {words!r}")

    def type(self, words: bytes) -> None:
        os.write(self._ours, words)

    def interrupt(self, answer: bytes) -> None:
        self.process.send_signal(signal.SIGINT)
        self.wait_for(b"[s] stop and release")
        self.type(answer + b"\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_the_run(
    stage: Stage, prefect_environment: Mapping[str, str], number: signal.Signals
) -> None:
    terminal = Terminal(stage, prefect_environment)
    stage.wait_for_program()
    terminal.process.send_signal(number)
    assert stage.wait_for_end(terminal.process) == ExitCode.INTERRUPTED
    stage.wait_for_nothing()
    assert stage.run_row()["reason"] == "JOB:CANCELLED"


def test_kill_9_of_the_terminals_process_stops_the_run_which_has_crashed(
    stage: Stage, prefect_environment: Mapping[str, str]
) -> None:
    terminal = Terminal(stage, prefect_environment)
    stage.wait_for_program()
    flow_run = wait_until(lambda: stage.run_row()["flow_run_id"], 60, "Prefect knows it")
    terminal.process.kill()
    stage.wait_for_nothing()
    assert (stage.run_row()["reason"], stage.starts()) == ("INFRA:STARTER_LOST", 1)
    server = api.named(prefect_environment)
    assert server is not None
    assert call(server, f"flow_runs/{flow_run}", method="GET")["state"]["name"] == "Crashed"


def test_kill_9_of_the_flow_is_seen_and_settled_by_the_terminal(
    stage: Stage, prefect_environment: Mapping[str, str]
) -> None:
    terminal = Terminal(stage, prefect_environment)
    stage.wait_for_program()
    os.kill(stage.run_row()["flow_pid"], signal.SIGKILL)
    assert stage.wait_for_end(terminal.process) == ExitCode.INFRASTRUCTURE
    stage.wait_for_nothing()
    assert stage.run_row()["reason"] == "INFRA:FLOW_LOST"


def test_stop_from_another_terminal(stage: Stage, prefect_environment: Mapping[str, str]) -> None:
    terminal = Terminal(stage, prefect_environment)
    stage.wait_for_program()
    other = stage.popen([stage.ebb, "stop", RUN])
    assert stage.wait_for_end(other) == ExitCode.OK
    assert stage.wait_for_end(terminal.process) == ExitCode.INTERRUPTED
    stage.wait_for_nothing()


def test_ctrl_c_and_s_stops(stage: Stage, prefect_environment: Mapping[str, str]) -> None:
    terminal = Terminal(stage, prefect_environment, tty=True)
    terminal.wait_for(b"started")
    terminal.interrupt(b"s")
    assert stage.wait_for_end(terminal.process) == ExitCode.INTERRUPTED
    stage.wait_for_nothing()


def test_ctrl_c_and_c_goes_on(stage: Stage, prefect_environment: Mapping[str, str]) -> None:
    terminal = Terminal(stage, prefect_environment, tty=True)
    terminal.wait_for(b"started")
    terminal.interrupt(b"c")
    stage.let_program_end()
    assert stage.wait_for_end(terminal.process) == ITS_CODE
    stage.wait_for_nothing()


def test_ctrl_c_and_d_lets_go_of_a_run_that_ends_by_itself(
    stage: Stage, prefect_environment: Mapping[str, str]
) -> None:
    terminal = Terminal(stage, prefect_environment, tty=True)
    terminal.wait_for(b"started")
    terminal.interrupt(b"d")
    assert stage.wait_for_end(terminal.process) == ExitCode.OK
    assert stage.run_row()["ended"] is None
    stage.let_program_end()
    stage.wait_for_nothing()
    assert stage.run_row()["exit_code"] == ITS_CODE


def test_second_ctrl_c_ends_a_program_that_does_not_listen(
    stage: Stage, prefect_environment: Mapping[str, str]
) -> None:
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    terminal = Terminal(stage, prefect_environment, preamble=deaf)
    stage.wait_for_program()
    terminal.process.send_signal(signal.SIGINT)
    terminal.process.send_signal(signal.SIGINT)
    assert stage.wait_for_end(terminal.process) == ExitCode.INTERRUPTED
    stage.wait_for_nothing()


def test_detached_run_outlives_its_terminal(
    stage: Stage, prefect_environment: Mapping[str, str]
) -> None:
    stage.spec()
    argv = [stage.ebb, "run", "--framework", "none", "--name", RUN, "--detach", "program.py"]
    begun = subprocess.run(
        argv,
        cwd=stage.work,
        env={**os.environ, **stage.environment, **prefect_environment},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert begun.returncode == ExitCode.OK
    stage.wait_for_program()
    stage.let_program_end()
    stage.wait_for_nothing()
    assert stage.run_row()["exit_code"] == ITS_CODE
