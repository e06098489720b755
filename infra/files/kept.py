"""What a run leaves to look at: its logs, what its members kept, what its program wrote."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePath

_LOG = re.compile(r"(stdout|stderr|.+\.(log|out|err)(\.\d+)?)")


class KeptKind(StrEnum):
    """Who wrote it."""

    PROGRAM = "program"
    """What the run's program, or one on a held cluster, has printed."""
    LOG = "log"
    """What head, workers, supervisor and flow have printed."""
    ARTIFACT = "artifact"
    """What the framework's processes leave for people: event logs, reports, their own logs."""
    OUTPUT = "output"
    """What a program has written into its ``EBB_OUTPUT_DIR``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFile:
    """One file that outlives the cluster."""

    name: str
    """By which ``Platform.logs`` opens it: ``head``, ``worker-0/raylet.out``, ``output/x.csv``."""
    kind: KeptKind
    bytes_: int
    """That are really there: what was cut out of it does not count."""
    changed: float
    """Unix time, seconds."""
    path: Path
    """Where it is on its machine, or will be when it has been fetched."""
    host: str = ""
    """The machine that has it; empty: this one."""

    @property
    def is_log(self) -> bool:
        """Whether it is text that was written line by line, by its name."""
        return self.kind in (KeptKind.PROGRAM, KeptKind.LOG) or is_log(self.path)


def is_log(path: PurePath) -> bool:
    """Tell by its name whether a file is a log: ``raylet.out``, ``worker.err``, ``stdout``."""
    return _LOG.fullmatch(path.name) is not None
