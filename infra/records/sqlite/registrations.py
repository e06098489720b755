"""The table of flow runs: which process is one, so that its death is noticed."""

from __future__ import annotations

from ebbtide.infra.models.records import ProcessRef, Registration
from ebbtide.infra.records.sqlite.database import Database
from ebbtide.infra.records.sqlite.rows import registration_of
from ebbtide.infra.waiting import wall_s


class RegistrationTable(Database):
    """The table of flow runs. See ``infra.records.store.Registrations``."""

    def register_process(self, flow_run_id: str, name: str, process: ProcessRef) -> None:
        """Record which process is the flow run from now on."""
        self.write(
            "INSERT OR REPLACE INTO flow_runs VALUES (?, ?, ?, ?, ?)",
            flow_run_id,
            name,
            process.pid,
            process.started,
            wall_s(),
        )

    def registered(self) -> list[Registration]:
        """Return all flow runs whose process has not been found dead yet."""
        return [registration_of(row) for row in self.rows("SELECT * FROM flow_runs")]

    def is_registered(self, flow_run_id: str) -> bool:
        """Whether this flow run has said where it runs."""
        return self.row("SELECT 1 FROM flow_runs WHERE id = ?", flow_run_id) is not None

    def unregister_process(self, gone: Registration) -> None:
        """Remove a process that is gone; one that took the flow run over stays."""
        self.write(
            "DELETE FROM flow_runs WHERE id = ? AND pid = ?", gone.flow_run_id, gone.process.pid
        )
