"""Pods that say themselves that their image is not the right one, as the run tells of it."""

from __future__ import annotations

import json

import pytest

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.platforms.kubernetes.reading.failures import worker_ends
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot, worker_names
from ebbtide.infra.platforms.kubernetes.reading.views import view_of
from tests.unit.platforms.reading import objects
from tests.unit.platforms.reading.objects import STANDING, T0, ended, ready, running, snapshot

SPEC = objects.spec()


def view(seen: Snapshot, last: ClusterView | None = None) -> ClusterView:
    return view_of(seen, SPEC, last)


STOOD = view(snapshot(*STANDING, running("driver", 15)))

DIFFERS = {
    "reason": "MISCONFIGURATION:VERSIONS_DIFFER",
    "telling": "its image has Python 3.12.1 with distributed 2, that of the head 3",
    "hint": "one image",
}


def test_worker_that_refuses_its_head_for_its_version_fails_at_once_and_names_its_node() -> None:
    refused = ended("worker-a", 1, message=json.dumps(DIFFERS))
    failure = view(snapshot(ready("head"), refused)).failure
    assert failure is not None
    assert (failure.step, failure.reason) == (Step.START_WORKERS, Reason.VERSIONS_DIFFER)
    assert failure.detail == f"worker-0 on node node-a: {DIFFERS['telling']}"
    assert failure.hint == "one image"


def test_worker_that_refuses_its_head_later_is_told_of() -> None:
    refused = ended("worker-a", 1, message=json.dumps(DIFFERS))
    seen = snapshot(ready("head"), refused, ready("worker-b"))
    (end,) = worker_ends(seen, worker_names(seen.pods, {}))
    assert end.sentence == f"did not start: {DIFFERS['telling']}"


def test_program_that_its_wrapper_refuses_to_start_is_a_misconfiguration() -> None:
    said = {"started_at": None, "ended_at": T0 + 49.5, "exit_code": None, **DIFFERS}
    refused = ended("driver", 126, message=json.dumps(said))
    job = view(snapshot(*STANDING, refused), STOOD).job
    assert job.reason is Reason.VERSIONS_DIFFER
    assert job.detail == f"the program on node node-a: {DIFFERS['telling']}"
    assert job.hint == "one image"


@pytest.mark.parametrize("module", ["distributed", "ebbtide.infra.frameworks"])
def test_head_whose_image_lacks_what_it_needs_names_both(module: str) -> None:
    last = f"Traceback (most recent call last):\nModuleNotFoundError: No module named '{module}'\n"
    dead = ended("head", 1, message=last)
    dead["spec"]["containers"][0]["image"] = "registry/mine:1"
    failure = view(snapshot(dead, running("worker-a"))).failure
    assert failure is not None
    assert (failure.step, failure.reason) == (Step.START_HEAD, Reason.IMAGE_UNUSABLE)
    lacks = module.partition(".")[0]
    assert failure.detail == f"image registry/mine:1 has no {lacks}, which the head needs"


def test_head_that_stood_and_dies_of_a_missing_module_was_lost() -> None:
    dead = ended("head", 1, message="ModuleNotFoundError: No module named 'users'")
    failure = view(snapshot(dead, ready("worker-a")), STOOD).failure
    assert failure is not None
    assert failure.reason is Reason.HEAD_LOST
