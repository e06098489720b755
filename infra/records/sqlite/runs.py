"""The table of runs."""

from __future__ import annotations

import json
from typing import Any

from ebbtide.infra.models.codec import to_json
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.models.records import ProcessRef, Reserved, Run, RunCount
from ebbtide.infra.records.sqlite.database import Database
from ebbtide.infra.records.sqlite.rows import run_of
from ebbtide.infra.waiting import wall_s

_BEING_BORN = 200
"""So many of the newest runs are looked at for those whose cluster is not written down yet."""


class RunTable(Database):
    """The table of runs. See ``infra.records.store.Runs``."""

    def reserve(self, run: Run, *, pool: str = "", max_waiting: int | None = None) -> Reserved:
        """Write a new run down under its name."""
        row = {
            "name": run.name,
            "spec": run.spec_json,
            "phase": run.phase.value,
            "created": run.created or wall_s(),
            "owner": run.owner,
            "tags": json.dumps(run.tags),
            "job_key": run.key,
            "flow_run_id": run.flow_run_id,
            "flow_pid": run.flow_process.pid if run.flow_process else None,
            "flow_started": run.flow_process.started if run.flow_process else None,
        }
        columns, values = ", ".join(row), ", ".join("?" * len(row))
        sql = f"INSERT INTO runs ({columns}) VALUES ({values}) ON CONFLICT (name) DO NOTHING"
        with self.transaction() as connection:
            if max_waiting is not None and self.runs_waiting(pool) >= max_waiting:
                return Reserved.QUEUE_FULL
            added = connection.execute(sql, tuple(row.values())).rowcount > 0
        return Reserved.DONE if added else Reserved.NAME_TAKEN

    def run(self, name: RunName) -> Run | None:
        """Return the run of this name."""
        row = self.row("SELECT * FROM runs WHERE name = ?", name)
        return None if row is None else run_of(row)

    def run_of(self, key: str) -> Run | None:
        """Return the latest run of the job with this key."""
        row = self.row(
            "SELECT * FROM runs WHERE job_key = ? ORDER BY created DESC, rowid DESC LIMIT 1", key
        )
        return None if row is None else run_of(row)

    def runs_of(self, key: str) -> list[RunName]:
        """Return the names of all runs of the job with this key, latest first."""
        rows = self.rows("SELECT name FROM runs WHERE job_key = ? ORDER BY rowid DESC", key)
        return [row["name"] for row in rows]

    def runs_of_flow(self, flow_run_id: str) -> list[RunName]:
        """Return the names of the runs that a flow run drives, and of those of its jobs."""
        rows = self.rows(
            "SELECT name FROM runs WHERE flow_run_id = ? OR job_key LIKE ?",
            flow_run_id,
            f"{flow_run_id}/%",
        )
        return [row["name"] for row in rows]

    def runs(self, *, open_only: bool = False) -> list[Run]:
        """Return all runs, or those that have not ended, in the order they were asked for."""
        which = "WHERE ended IS NULL" if open_only else ""
        return [run_of(row) for row in self.rows(f"SELECT * FROM runs {which} ORDER BY created")]

    def runs_since(self, at: float) -> list[Run]:
        """Return the runs asked for since then (Unix time, seconds), in order."""
        rows = self.rows("SELECT * FROM runs WHERE created >= ? ORDER BY created", at)
        return [run_of(row) for row in rows]

    def run_names(self, beginning: str = "") -> list[RunName]:
        """Return all names, latest first; or ``beginning`` itself and those ``beginning-…``."""
        if not beginning:
            rows = self.rows("SELECT name FROM runs ORDER BY created DESC")
        else:
            rows = self.rows(
                "SELECT name FROM runs WHERE name = ? OR (name > ? AND name < ?)",
                beginning,
                f"{beginning}-",
                f"{beginning}.",  # the sign after the dash
            )
        return [row["name"] for row in rows]

    def runs_waiting(self, pool: str) -> int:
        """Count the runs that wait for room in a pool, or will and have no cluster yet."""
        row = self.row(
            "SELECT (SELECT count(*) FROM clusters WHERE released_at IS NULL AND pool = ?"
            " AND state = 'queued') + (SELECT count(*) FROM"
            " (SELECT name, ended FROM runs ORDER BY rowid DESC LIMIT ?) r WHERE r.ended IS NULL"
            " AND NOT EXISTS (SELECT 1 FROM clusters c WHERE c.run = r.name))",
            pool,
            _BEING_BORN,
        )
        assert row is not None
        return int(row[0])

    def count_runs(self, since: float) -> RunCount:
        """Count all runs, and those asked for since then (Unix time, seconds)."""
        row = self.row(
            "SELECT count(*) AS n, min(created) AS first, sum(created > ?) AS recent FROM runs",
            since,
        )
        assert row is not None
        return RunCount(total=row["n"], recent=row["recent"] or 0, first=row["first"])

    def update_run(self, name: RunName, **fields: Any) -> int:
        """Set columns of a run. Returns the number of rows changed: 0 for an unknown run."""
        settings = ", ".join(f"{column} = ?" for column in fields)
        return self.write(f"UPDATE runs SET {settings} WHERE name = ?", *fields.values(), name)

    def register_flow_process(
        self, run: RunName, flow_process: ProcessRef, flow_run_id: str | None
    ) -> None:
        """Record which process drives the run from now on."""
        self.update_run(
            run,
            flow_pid=flow_process.pid,
            flow_started=flow_process.started,
            flow_run_id=flow_run_id,
        )

    def set_key(self, run: RunName, key: str | None) -> None:
        """Set the key that identifies the job of a run; None: no key finds it any more."""
        self.update_run(run, job_key=key)

    def set_attempt(self, run: RunName, attempt: int, spec: RunSpec | None = None) -> None:
        """Record which attempt the run has got to, and what it is from now on."""
        changed = {} if spec is None else {"spec": to_json(spec)}
        self.update_run(run, attempt=attempt, **changed)

    def set_prefect_url(self, run: RunName, url: str) -> None:
        """Record the URL of the user interface of the Prefect server that records the run."""
        self.update_run(run, prefect_url=url)

    def set_phase(self, run: RunName, phase: Phase) -> None:
        """Record the phase of a run, unless it has ended."""
        self.write("UPDATE runs SET phase = ? WHERE name = ? AND ended IS NULL", phase.value, run)

    def request_stop(self, run: RunName, reason: Reason) -> bool:
        """Ask for its end: no fresh attempt from now on. False when it has ended, or is unknown."""
        sql = "UPDATE runs SET stop_reason = ? WHERE name = ? AND ended IS NULL"
        return self.write(sql, reason.value, run) > 0

    def end_run(
        self, run: RunName, phase: Phase, reason: Reason | None, detail: str, exit_code: int
    ) -> bool:
        """Record how a run ended. Returns whether this call was the first."""
        changed = self.write(
            "UPDATE runs SET phase = ?, reason = ?, detail = ?, exit_code = ?, ended = ?"
            " WHERE name = ? AND ended IS NULL",
            phase.value,
            reason.value if reason else None,
            detail,
            exit_code,
            wall_s(),
            run,
        )
        return changed > 0
