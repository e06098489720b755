"""The table of events: what happened to a run, in order."""

from __future__ import annotations

import json

from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.records import Event
from ebbtide.infra.records.sqlite.database import Database
from ebbtide.infra.records.sqlite.rows import event_of
from ebbtide.infra.waiting import wall_s


class EventTable(Database):
    """The table of events: appended, never changed. See ``infra.records.store.Events``."""

    def append(self, *events: Event) -> None:
        """Record what happened. Ids are given here, and times where there are none."""
        for event in events:
            self.write(
                "INSERT INTO events (run, kind, message, at, cluster, step, reason, data)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                event.run,
                event.kind.value,
                event.message,
                event.at or wall_s(),
                event.cluster,
                event.step.value if event.step else None,
                event.reason.value if event.reason else None,
                json.dumps(event.data),
            )

    def events(self, run: RunName, after: int = 0) -> list[Event]:
        """Events of a run in order, those with an id above ``after``."""
        rows = self.rows("SELECT * FROM events WHERE run = ? AND id > ? ORDER BY id", run, after)
        return [event_of(row) for row in rows]
