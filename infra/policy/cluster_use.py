"""Whether a program uses the cluster it was given, and what it leaves unfinished; in words.

Pure. Does not belong here: asking the head, reading what the program's hook has noted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ebbtide.infra.models.records import Event

UNUSED = "unused"
"""Key in an event's data: what to do about a cluster that ran no task; empty when it is used."""

_LONGEST = 200
"""Characters of what the program may have written."""
PATIENCE_S = 60.0
"""A program that has run for so long is told that its cluster has had nothing to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the head knows of work, at one moment."""

    now: int
    """Tasks that run or wait."""
    finished: int | None
    """Tasks that have ended since the head started; None: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What the hook in the program has noted."""

    own_cluster: str = ""
    """What the program uses instead of its run's cluster, such as ``local[*]``."""
    unfinished: int = 0
    """Tasks of it that had not ended when it ended."""
    wait: str = ""
    """How a program waits for its tasks; RUN stands for the run's name."""


def notes_from(found: Mapping[str, Any]) -> Notes:
    """Take plain values out of notes, whatever is in them: the program could write them as well.

    Args:
        found: the last note of each kind.

    Returns:
        The notes.
    """
    unfinished, own = _object(found, "unfinished"), _object(found, "own-cluster")
    count = unfinished.get("count", 0)
    return Notes(
        own_cluster=_text(own.get("what")),
        unfinished=count if isinstance(count, int) else 0,
        wait=_text(unfinished.get("wait")),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Something to tell the user about the use of the cluster."""

    message: str
    hint: str = ""
    unused: bool | None = None
    """Whether the cluster is unused as far as is known now; None: it is not about that."""


@dataclass(slots=True, kw_only=True)
class UseWatch:
    """Judges one program's use of its cluster, and says each thing once."""

    connect: str
    """How a program of this framework connects to the cluster."""
    bridge: bool
    """Whether ``--bridge`` was given."""
    _used: bool = False
    _told: bool = False

    def look(self, work: Work) -> None:
        """Take in what the head says."""
        self._used = self._used or work.now > 0 or bool(work.finished)

    def while_running(self, seconds: float, work: Work, notes: Notes) -> Remark | None:
        """Judge a program that runs.

        Args:
            seconds: for how long it has run.
            work: what the head says now.
            notes: what the program's hook has noted.

        Returns:
            What is to be told; mostly None.
        """
        self.look(work)
        if self._told and self._used:
            self._told = False
            return Remark(message="the cluster runs tasks now", unused=False)
        if seconds < PATIENCE_S or not self._known_as_unused(work):
            return None
        return self._tell(notes, "has run no task yet", "uses")

    def at_the_end(self, work: Work | None, notes: Notes, *, well: bool) -> tuple[Remark, ...]:
        """Judge a program that has ended.

        Args:
            work: what the head says after that; None when it did not answer.
            notes: what the program's hook has noted.
            well: whether it exited with 0: one that failed had perhaps not come to its tasks.

        Returns:
            What is to be told.
        """
        found = []
        if work is not None:
            self.look(work)
            if self._told and self._used:
                self._told = False
                found.append(Remark(message="the cluster ran tasks after all", unused=False))
            elif self._known_as_unused(work) and (well or notes.own_cluster):
                found.append(self._tell(notes, "ran no task", "used"))
        if well and notes.unfinished:
            found.append(what_is_lost(notes))
        return tuple(found)

    def seems_unused(self, work: Work) -> bool:
        """Whether no task has been seen so far, neither now nor before."""
        self.look(work)
        return not self._used and work.finished == 0

    def _known_as_unused(self, work: Work) -> bool:
        return not self._told and self.seems_unused(work)

    def _tell(self, notes: Notes, did: str, uses: str) -> Remark:
        self._told = True
        own = f"; the program {uses} {notes.own_cluster} instead" if notes.own_cluster else ""
        return Remark(message=f"the cluster {did}{own}", hint=self._hint(), unused=True)

    def _hint(self) -> str:
        bridge = "" if self.bridge else "--bridge leads a program's own clusters to it; "
        return f"{bridge}{self.connect} connects to it; --framework none makes none"


def what_is_lost(notes: Notes) -> Remark:
    """Say how many tasks a program has left behind, and how it would wait for them."""
    count = notes.unfinished
    tasks, returns = (
        ("1 task was", "it returns") if count == 1 else (f"{count} tasks were", "they return")
    )
    return Remark(
        message=f"the program ended while {tasks} pending or running: what {returns} is lost",
        hint=f"wait for them: {notes.wait}",
    )


def unused_advice(events: Iterable[Event]) -> str:
    """Say what to do about a cluster that ran no task, from what was told; empty if it did.

    A fresh attempt has a cluster of its own: the last word counts.
    """
    told = [event for event in events if UNUSED in event.data]
    if not told or not told[-1].data[UNUSED]:
        return ""
    return f"{told[-1].message}: {told[-1].data[UNUSED]}"


def _object(found: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    value = found.get(kind)
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value[:_LONGEST] if isinstance(value, str) else ""
