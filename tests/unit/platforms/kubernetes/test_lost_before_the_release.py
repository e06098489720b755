"""What a pod has is not asked of a node that is lost since the pod was last looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, cast

import pytest

from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.shipping import collecting, sending
from ebbtide.infra.platforms.kubernetes.tending.programs import program as module
from ebbtide.infra.platforms.kubernetes.tending.programs.program import ProgramPod
from tests.unit.platforms.reading.objects import Object, condition, ready, with_condition

ANSWERS = ready("run-1-driver")
SILENT = with_condition(ANSWERS, condition("Ready", False, 40))


class Cluster:
    """An API server that tells of one pod, and reaches no node."""

    def __init__(self, pod: Object | None):
        self.pod = pod

    def get(self, _kind: object, _name: str) -> Object | None:
        if self.pod is None:
            raise ApiError(0, "NoAnswer", "it is away")
        return self.pod

    def run(self, pod: str, _container: str, _argv: Sequence[str]) -> NoReturn:
        raise ApiError(500, "InternalError", "dial tcp: i/o timeout", asked=f"exec in {pod}")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_OUTPUT_END_S", 0.0)
    monkeypatch.setattr(collecting, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(sending, "_FIRST_PAUSE_S", 0.001)


def collected(cluster: Cluster, folder: Path, seen: Object) -> list[str]:
    """What is told when a program is collected that was last seen so, and printed nothing."""
    told: list[str] = []
    program = ProgramPod(cast(Api, cluster), "run-1-driver", folder, told.append)
    program.tick(seen, begun=True)
    program.collect()
    return told


def test_node_that_is_lost_since_the_last_look_is_named_and_not_asked(tmp_path: Path) -> None:
    told = collected(Cluster(SILENT), tmp_path, ANSWERS)
    assert [" ".join(each.split()[-5:]) for each in told] == ["node node-a does not answer"]


def test_pod_that_cannot_be_looked_up_is_as_it_was_last_seen(tmp_path: Path) -> None:
    (told,) = collected(Cluster(None), tmp_path, SILENT)
    assert told.endswith("does not answer")


def test_node_that_is_lost_unnoticed_is_asked_for_files_once(tmp_path: Path) -> None:
    told = collected(Cluster(ANSWERS), tmp_path, ANSWERS)
    assert [each.split()[0] for each in told if "brought back" in each] == [str(layout.OUTPUT)]
