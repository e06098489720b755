"""Which programs of a held cluster are done, run now, or must be started; told from their folders.

A program is told apart by its name and command line. Its folder is below that
of the run that held the cluster; a cluster that was replaced has another run with the same key.
A program is no run: it has no row in the store, so what ``once`` asks a store is read from folders.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ebbtide.infra.errors import ConfigurationError, JobError, Problem
from ebbtide.infra.files.private import private_folder, write_private
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.lifecycle.outcome import RunResult
from ebbtide.infra.lifecycle.steps import Attempt
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.phases import ExitCode, Phase, Reason
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.request.program.check import check_program
from ebbtide.infra.settings import Settings

_FACTS = "program.json"


@dataclass(frozen=True, slots=True)
class _Start:
    """One start of a program, as its folder tells."""

    facts: str
    """See ``Program.facts``; empty: it does not count, its output was not what was wanted."""
    ended: bool
    succeeded: bool


@dataclass(frozen=True, slots=True)
class Program:
    """One to be run on a held cluster."""

    name: str
    job: JobSpec

    @property
    def facts(self) -> str:
        """What tells it apart."""
        return json.dumps({"name": self.name, "argv": self.job.argv})


def checked_program(
    argv: tuple[str, ...], name: str, workdir: Path, env: Mapping[str, str]
) -> Program:
    """Check a program that is to run on a cluster that is held.

    Args:
        argv: the program and its arguments, as a person writes them.
        name: of the program on its cluster; its file's when empty.
        workdir: absolute.
        env: added to its environment.

    Returns:
        The program, which can be started.

    Raises:
        ConfigurationError: with everything that is wrong with it.
    """
    command, problems = check_program(argv, workdir)
    if not problems and "/" in name:
        summary = f"{name!r} is no name: its folder is named like the program"
        problems = [Problem(Reason.OPTION_INVALID, summary, "leave out the /")]
    if problems:
        raise ConfigurationError(problems)
    job = JobSpec(argv=command, workdir=str(workdir), env=dict(env))
    return Program(name or Path(argv[0]).stem, job)


def run_on(attempt: Attempt, folder: Path, program: Program) -> RunResult:
    """Run a program on a cluster that is held, and wait for its end.

    Args:
        attempt: whose cluster is up.
        folder: of the program, from ``folder_for``.
        program: what to run.

    Returns:
        The result; its folder is the program's own.

    Raises:
        JobError: it did not end well; the error names the program, one of several.
        ProvisioningError: its cluster was lost below it.
    """
    try:
        steps.run_program(attempt, folder.name, program.job)
    except JobError as error:
        name = f"{attempt.spec.name}/{folder.name}"
        raise JobError(
            error.reason,
            f"{name}: {error.summary}",
            detail=error.detail,
            hint=f"ebb logs {name}",
            program_exit_code=error.program_exit_code,
        ) from error
    return result_in(folder, attempt.spec.name)


def done_before(
    settings: Settings, store: RunStore, key: str, program: Program
) -> RunResult | None:
    """Look for an earlier start of a program that ended well, under any run of this key.

    Args:
        settings: of this installation.
        store: with the runs.
        key: of the cluster that is held.
        program: the same one, with the same arguments.

    Returns:
        The result of that start; None when there was none.
    """
    for run in store.runs_of(key):
        for folder in sorted(_programs(settings, run).glob("*")):
            start = _start_in(folder)
            if start.facts == program.facts and start.succeeded:
                return result_in(folder, run)
    return None


def folder_for(settings: Settings, run: RunName, program: Program) -> Path:
    """Return the folder of a program: that of a start that has not ended, or a new one.

    Args:
        settings: of this installation.
        run: whose cluster it runs on.
        program: what is to run.

    Returns:
        The folder, which exists and only this user can read.
    """
    private_folder(settings.home, "runs", run, "programs")
    number = 1
    while True:
        name = program.name if number == 1 else f"{program.name}-{number}"
        folder = _programs(settings, run) / name
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            start = _start_in(folder)
            if start.facts == program.facts and not start.ended:
                return folder
            number += 1
            continue
        write_private(folder / _FACTS, program.facts)
        return folder


def result_in(folder: Path, run: RunName) -> RunResult:
    """The outcome of a program that ended well."""
    return RunResult(
        run=f"{run}/{folder.name}",
        phase=Phase.SUCCEEDED,
        reason=None,
        detail="",
        exit_code=ExitCode.OK,
        output_dir=folder / "output",
        remembered=folder / _FACTS,
    )


def _programs(settings: Settings, run: RunName) -> Path:
    return settings.run_folder(run) / "programs"


def _start_in(folder: Path) -> _Start:
    """The only reader of what the platform and ``folder_for`` have written there."""
    succeeded, ends = False, list(folder.glob("exit-*.json"))
    for path in ends:
        with contextlib.suppress(ValueError):
            end = json.loads(_read(path))
            succeeded = end["exit_code"] == 0 and end["reason"] is None
    return _Start(facts=_read(folder / _FACTS), ended=bool(ends), succeeded=succeeded)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
