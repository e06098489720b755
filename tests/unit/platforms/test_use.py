"""What a run is told of its cluster's use, by what its head answers after the program's end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from ebbtide.infra.frameworks.base import FrameworkStatus
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.platforms.upkeep.use import ClusterUse
from ebbtide.infra.policy.cluster_use import UNUSED, Notes
from tests.clusters import cluster_spec, run_spec, script


class Told:
    """Stands for the supervisor's reporter."""

    def __init__(self) -> None:
        self.events: list[tuple[EventKind, str, dict[str, Any]]] = []

    def event(self, kind: EventKind, message: str, **data: Any) -> None:
        self.events.append((kind, message, data))


def told(folder: Path, framework: str, answers: list[int | None]) -> Told:
    """What is told of a program that ended well while its head knew of so many ended tasks."""
    spec = run_spec("run", cluster_spec(framework), script(folder, ""))
    found = Told()
    use = ClusterUse(spec, cast(StatusReporter, found))
    use.at_the_end(lambda: FrameworkStatus(workers={}, finished=answers.pop(0)), Notes(), well=True)
    return found


def test_a_head_that_hears_late_of_tasks_is_asked_again(tmp_path: Path) -> None:
    """Ray's drivers and workers report once a second."""
    answers: list[int | None] = [0, 0, 1, 0]
    assert told(tmp_path, "ray", answers).events == []
    assert answers == [0]


@pytest.mark.parametrize("answer", [None, 1])
def test_a_head_that_knows_of_tasks_or_knows_nothing_is_asked_once(
    tmp_path: Path, answer: int | None
) -> None:
    assert told(tmp_path, "ray", [answer]).events == []


def test_an_unused_cluster_is_a_warning_with_what_to_do(tmp_path: Path) -> None:
    ((kind, message, data),) = told(tmp_path, "dask", [0]).events
    assert (kind, message) == (EventKind.WARNING, "the cluster ran no task")
    assert "Client() without arguments" in data["hint"]
    assert data[UNUSED] == data["hint"]
