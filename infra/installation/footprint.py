"""What an installation takes on the disk, and how fast that grows.

Belongs here: sizes of its parts, and growth by the runs of the last days.
Does not belong here: deleting anything (``infra.installation.keeping``), what runs use of CPU and
memory.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s

_DAY_S = 86_400.0
_WINDOW_DAYS = 7.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What an installation takes on the disk, in bytes as the disk counts them."""

    free: int
    """On the disk that the home lies on."""
    home: int
    """All of it."""
    runs: int
    """The runs' folders: output and logs."""
    ledger: int
    prefect_db: int
    logs: int
    """Of the server and of ``ebb up``."""
    run_count: int
    runs_per_day: float
    """Of the last week, or since the first run."""

    @property
    def bytes_per_run(self) -> float:
        """Bytes that one run has left behind on average; 0 before the first."""
        return (self.runs + self.ledger + self.prefect_db) / (self.run_count or 1)

    @property
    def bytes_per_day(self) -> float:
        """Bytes that the installation grows a day, at the pace of the last week."""
        return self.runs_per_day * self.bytes_per_run if self.run_count else 0.0

    @property
    def days_left(self) -> float | None:
        """Days until the disk is full at that pace; None when nothing grows."""
        return self.free / self.bytes_per_day if self.bytes_per_day else None


def footprint(settings: Settings, store: RunStore) -> Footprint:
    """Measure what the installation takes on the disk now. Looks at each file of the home once.

    Raises:
        EbbError: the ledger cannot be read.
    """
    home = settings.home
    now = wall_s()
    count = store.count_runs(since=now - _WINDOW_DAYS * _DAY_S)
    days = min(_WINDOW_DAYS, max(1.0, (now - (count.first or now)) / _DAY_S))
    prefect = home / "prefect"
    return Footprint(
        free=shutil.disk_usage(home).free,
        home=size_of(home),
        runs=size_of(settings.runs),
        ledger=sum(size_of(path) for path in home.glob("ledger.sqlite*")),
        prefect_db=sum(size_of(path) for path in prefect.glob("prefect.db*")),
        logs=sum(size_of(p) for p in (*prefect.glob("*.log*"), *home.glob("stack/*.log*"))),
        run_count=count.total,
        runs_per_day=count.recent / days,
    )


def size_of(path: Path) -> int:
    """Return the bytes of a file or of all in a folder; what vanishes meanwhile counts nothing."""
    total = 0
    with contextlib.suppress(OSError):
        total += path.lstat().st_blocks * 512
        if path.is_dir() and not path.is_symlink():
            with os.scandir(path) as entries:
                total += sum(size_of(Path(entry.path)) for entry in entries)
    return total
