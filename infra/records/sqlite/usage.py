"""The tables of spans and samples: written by whoever owns a cluster, read for receipts.

Belongs here: the two tables' statements, and when a span that nobody ended has ended.
Does not belong here: measuring (``infra.platforms.upkeep.usage``), sums over them
(``infra.accounting.receipts``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from typing import Any

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.usage import Sample, Span
from ebbtide.infra.records.sqlite.database import Database

_SPAN = tuple(field.name for field in fields(Span))
_SAMPLE = tuple(field.name for field in fields(Sample))


class UsageTable(Database):
    """The tables of spans and samples. See ``infra.records.store.Usage``."""

    def write_usage(
        self, cluster: ClusterId, spans: Iterable[Span], samples: Sequence[Sample], every: int = 1
    ) -> None:
        """Write spans (new or changed) and new samples, in one transaction.

        Args:
            cluster: whose they are.
            spans: each takes the place of what is known of its owner.
            samples: one of a number that is there already takes its place.
            every: samples whose number is no multiple of this are thinned away.
        """
        with self.transaction() as connection:
            connection.executemany(_insert("spans", _SPAN), [astuple(span) for span in spans])
            rows = [(cluster, *astuple(sample)) for sample in samples if sample.number % every == 0]
            connection.executemany(_insert("samples", ("cluster", *_SAMPLE)), rows)
            if every > 1:
                connection.execute(
                    "DELETE FROM samples WHERE cluster = ? AND number % ? != 0", (cluster, every)
                )

    def spans(self, run: RunName) -> list[Span]:
        """Return all shares of a run's clusters, oldest first; none outlasts its cluster."""
        rows = self.rows(
            "SELECT spans.*, released_at FROM spans JOIN clusters ON clusters.id = spans.cluster"
            " WHERE clusters.run = ? ORDER BY spans.began, spans.owner",
            run,
        )
        return [_span(row) for row in rows]

    def samples(self, run: RunName) -> list[Sample]:
        """Return the samples of a run's clusters in order; each cluster counts from 0."""
        rows = self.rows(
            "SELECT samples.* FROM samples JOIN clusters ON clusters.id = samples.cluster"
            " WHERE clusters.run = ? ORDER BY clusters.seq, samples.number",
            run,
        )
        return [Sample(**{name: row[name] for name in _SAMPLE}) for row in rows]


def _span(row: Any) -> Span:
    """Return a span with its real end: a supervisor that was killed ended none of its spans."""
    ends = [end for end in (row["ended"], row["released_at"]) if end is not None]
    known = {name: row[name] for name in _SPAN}
    return Span(**{**known, "ended": min(ends, default=None)})


def _insert(table: str, columns: Sequence[str]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) VALUES ({marks})"
