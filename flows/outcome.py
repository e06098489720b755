"""How a run ended, as flows and sessions are told."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from infra.models.phases import ExitCode, Phase, Reason
from infra.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended."""

    run: str
    phase: Phase
    reason: Reason | None
    """None when it succeeded."""
    detail: str
    exit_code: int
    """What ``ebb run`` would have exited with."""
    output_dir: Path
    """The program's ``EBB_OUTPUT_DIR``; kept."""

    @property
    def succeeded(self) -> bool:
        """Whether the program ended well."""
        return self.phase is Phase.SUCCEEDED


def result_of(settings: Settings, row: sqlite3.Row) -> RunResult:
    """The outcome of a run that has ended, from its row of the ledger."""
    code = row["exit_code"]
    return RunResult(
        run=row["name"],
        phase=Phase(row["phase"]),
        reason=Reason(row["reason"]) if row["reason"] else None,
        detail=row["detail"] or "",
        exit_code=ExitCode.INFRASTRUCTURE if code is None else int(code),
        output_dir=settings.run_folder(row["name"]) / "output",
    )
