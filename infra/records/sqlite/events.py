"""The table of events: what happened to a run, in order."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from ebbtide.infra.records.sqlite.database import Database
from ebbtide.infra.waiting import wall_s


class EventTable(Database):
    """Appended, never changed."""

    def emit(self, run: str, kind: str, message: str, **more: Any) -> None:
        """Record that something happened. ``more``: cluster, step, reason; the rest is data."""
        columns = [more.pop(name, None) for name in ("cluster", "step", "reason")]
        self.write(
            "INSERT INTO events (run, kind, message, at, cluster, step, reason, data)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            run,
            kind,
            message,
            more.pop("at", None) or wall_s(),
            *columns,
            json.dumps(more),
        )

    def events(self, run: str, after: int = 0) -> list[sqlite3.Row]:
        """Events of a run in order, those with an id above ``after``."""
        return self.rows("SELECT * FROM events WHERE run = ? AND id > ? ORDER BY id", run, after)
