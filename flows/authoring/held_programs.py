"""Which programs of a held cluster are done, run now, or must be started; told from their folders.

Imports no Prefect. A program is told apart by its name and command line. Its folder is below that
of the run that held the cluster; a cluster that was replaced has another run with the same key.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from infra.files.private import private_folder, write_private
from infra.lifecycle.outcome import RunResult
from infra.models.job import JobSpec
from infra.models.phases import ExitCode, Phase
from infra.records.ledger import Ledger
from infra.settings import Settings

_FACTS = "program.json"


@dataclass(frozen=True, slots=True)
class Program:
    """One to be run on a held cluster."""

    name: str
    job: JobSpec

    @property
    def facts(self) -> str:
        """What tells it apart."""
        return json.dumps({"name": self.name, "argv": self.job.argv})


def done_before(settings: Settings, ledger: Ledger, key: str, program: Program) -> RunResult | None:
    """The result of an earlier start that ended well, under any run of this key."""
    for row in ledger.rows("SELECT name FROM runs WHERE job_key = ? ORDER BY rowid DESC", key):
        for folder in sorted(_programs(settings, row["name"]).glob("*")):
            if _read(folder / _FACTS) == program.facts and _ended_well(folder):
                return result_in(folder, row["name"])
    return None


def folder_for(settings: Settings, run: str, program: Program) -> Path:
    """Its folder: that of the start that has not ended, or a new one."""
    private_folder(settings.home, "runs", run, "programs")
    number = 1
    while True:
        name = program.name if number == 1 else f"{program.name}-{number}"
        folder = _programs(settings, run) / name
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            if _read(folder / _FACTS) == program.facts and not any(folder.glob("exit-*.json")):
                return folder
            number += 1
            continue
        write_private(folder / _FACTS, program.facts)
        return folder


def result_in(folder: Path, run: str) -> RunResult:
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


def _programs(settings: Settings, run: str) -> Path:
    return settings.run_folder(run) / "programs"


def _ended_well(folder: Path) -> bool:
    for path in folder.glob("exit-*.json"):
        with contextlib.suppress(ValueError):
            facts = json.loads(_read(path))
            return facts["exit_code"] == 0 and facts["reason"] is None
    return False


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
