"""The prompt comes back with the run's own end; Prefect's record of it is finished behind it.

A flow process that is stopped (SIGSTOP) stands for a record that takes its time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ebbtide.flows.prefect_server import server
from ebbtide.flows.prefect_server.server import ServerInfo
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.records import Run
from ebbtide.infra.records.ledger import Ledger
from tests.flows.flow_runs import call
from tests.helpers import stop_outside_locks, wait_until

EBB = str(Path(sys.executable).with_name("ebb"))
ITS_CODE = 3
PROGRAM = f"""
import pathlib, sys, time
print("started", flush=True)
while not pathlib.Path("go").exists():
    time.sleep(0.02)
sys.exit({ITS_CODE} if len(sys.argv) > 1 else 0)
"""
PROMPT_S, RECORD_S = 30, 60
"""Longest waits; on machines that do nothing else both take a tenth."""


@dataclass(slots=True)
class Typed:
    """One ``ebb run`` of a program that waits for a file."""

    home: Path
    folder: Path
    info: ServerInfo
    name: RunName
    words: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] = field(init=False)

    def type(self, **variables: str) -> None:
        """Type the command, where nobody has said whether to wait."""
        (self.folder / "program.py").write_text(PROGRAM)
        inherited = {k: v for k, v in os.environ.items() if k != "EBB_WAIT_FOR_RECORD"}
        argv = [EBB, "run", "--framework", "none", "--name", self.name, *self.words]
        self.process = subprocess.Popen(
            argv,
            cwd=self.folder,
            env={**inherited, **variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def run(self) -> Run | None:
        """As the ledger knows it."""
        ledger = Ledger(self.home)
        try:
            return ledger.run(self.name)
        finally:
            ledger.close()

    def stop_flow_when(self, come: Callable[[Run], object]) -> int:
        """Stop the flow process as soon as this is so, while the program runs; gives its pid."""

        def pid() -> int | None:
            run = self.run()
            return run.flow_process.pid if run and run.flow_process and come(run) else None

        found = wait_until(pid, PROMPT_S, "the flow process has come so far")
        assert found is not None
        stop_outside_locks(found)
        return found

    def let_program_end(self) -> None:
        (self.folder / "go").touch()

    def prompt(self) -> int:
        """Wait for the prompt; gives the exit code."""
        wait_until(lambda: self.process.poll() is not None, PROMPT_S, "the prompt is back")
        return int(self.process.returncode)

    def state(self) -> str:
        """Of its flow run in Prefect; empty when there is none."""
        named = {"flow_runs": {"name": {"any_": [self.name]}}}
        return "".join(found["state_name"] for found in call(self.info.api, PATH, named))

    def held(self) -> tuple[int, dict[str, Any]]:
        """What ``ebb held`` exits with, and says."""
        done = subprocess.run([EBB, "held", "--json"], capture_output=True, check=False, timeout=60)
        return done.returncode, json.loads(done.stdout)

    def wait_until_nothing_is_left(self) -> None:
        """No flow process, and nothing of it to be finished."""
        wait_until(lambda: not self.held()[1]["flows"], RECORD_S, "no flow process is left")
        ledger = Ledger(self.home)
        wait_until(lambda: not ledger.registered(), RECORD_S, "nothing is left to be finished")
        ledger.close()


PATH = "flow_runs/filter"


@pytest.fixture(scope="module")
def own_server(home_of_module: Path) -> Iterator[ServerInfo]:
    yield server.ensure(home_of_module, deadline_s=180, idle_s=3600)
    server.stop(home_of_module)


@pytest.fixture
def typed(
    own_server: ServerInfo, home_of_module: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Typed]:
    words = getattr(request, "param", ("program.py",))
    name = RunName(f"run-{abs(hash(request.node.name)) % 10**8}")
    made = Typed(home_of_module, tmp_path, own_server, name, words)
    yield made
    made.let_program_end()
    made.prompt()
    made.wait_until_nothing_is_left()


def known(run: Run) -> bool:
    return run.flow_run_id is not None


def about_to_be_known(run: Run) -> bool:
    return run.prefect_url is not None


def test_prompt_is_back_while_the_record_is_open_which_is_finished_behind_it(
    typed: Typed,
) -> None:
    typed.type()
    flow = typed.stop_flow_when(known)
    typed.let_program_end()
    try:
        assert typed.prompt() == 0
        run = typed.run()
        assert run is not None
        assert (run.phase, run.exit_code) == ("Succeeded", 0)
        assert typed.state() == "Running"
        code, told = typed.held()
        assert (code, told["held"], told["orphans"]) == (0, [], [])
        assert [(one["pid"], one["run"]) for one in told["flows"]] == [(flow, typed.name)]
    finally:
        os.kill(flow, signal.SIGCONT)
    wait_until(lambda: typed.state() == "Completed", RECORD_S, "the record is finished")


@pytest.mark.parametrize("typed", [("program.py", "fail")], indirect=True)
@pytest.mark.parametrize("come", [about_to_be_known, known])
def test_record_is_finished_though_the_flow_process_is_killed_behind_the_prompt(
    typed: Typed, come: Callable[[Run], object]
) -> None:
    typed.type()
    flow = typed.stop_flow_when(come)
    typed.let_program_end()
    assert typed.prompt() == ITS_CODE
    os.kill(flow, signal.SIGKILL)
    wait_until(lambda: typed.state() == "Failed", RECORD_S, "somebody else finishes it")


@pytest.mark.parametrize(
    "typed", [("--wait-for-record", "program.py"), ("--json", "program.py")], indirect=True
)
def test_who_waits_for_the_record_has_it(typed: Typed) -> None:
    typed.type()
    flow = typed.stop_flow_when(known)
    typed.let_program_end()
    try:
        wait_until(lambda: (run := typed.run()) and run.over, PROMPT_S, "the run is over")
        wait_until(lambda: not typed.held()[1]["held"], PROMPT_S, "nothing of it is held")
        assert typed.process.poll() is None
    finally:
        os.kill(flow, signal.SIGCONT)
    assert typed.prompt() == 0
    assert typed.state() == "Completed"


def test_ctrl_c_leaves_the_rest_of_the_record_behind(typed: Typed) -> None:
    typed.type(EBB_WAIT_FOR_RECORD="yes")
    flow = typed.stop_flow_when(known)
    typed.let_program_end()
    try:
        wait_until(lambda: (run := typed.run()) and run.over, PROMPT_S, "the run is over")
        wait_until(lambda: not typed.held()[1]["held"], PROMPT_S, "nothing of it is held")
        typed.process.send_signal(signal.SIGINT)
        assert typed.prompt() == 0
    finally:
        os.kill(flow, signal.SIGCONT)
    wait_until(lambda: typed.state() == "Completed", RECORD_S, "the record is finished")


def test_why_tells_where_the_time_of_a_run_went(typed: Typed) -> None:
    typed.type()
    typed.let_program_end()
    assert typed.prompt() == 0
    typed.wait_until_nothing_is_left()
    argv = [EBB, "why", "--timing", "--json", typed.name]
    said = subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout
    spans = json.loads(said)["spans"]
    assert [span["start_s"] for span in spans] == sorted(span["start_s"] for span in spans)
    processes = ("command", "guard", "supervisor", "program", "release", "flow")
    assert {span["process"] for span in spans} == set(processes)
    for process in processes:  # what one process does, it does one after the other
        own = [span for span in spans if span["process"] == process]
        took_s = sum(span["end_s"] - span["start_s"] for span in own)
        assert took_s <= own[-1]["end_s"] - own[0]["start_s"] + 0.01
    ends = {span["what"]: span["end_s"] for span in spans}
    prompt_s = ends["shows the end; the prompt follows"]
    assert 0 < ends["until its first line"] < prompt_s < ends["finishes Prefect's record"]
