"""What became of head, workers and program, told apart by their containers' statuses."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.platforms.kubernetes.reading.failures import out_of_reach, worker_ends
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot, worker_names
from ebbtide.infra.platforms.kubernetes.reading.views import view_of
from ebbtide.infra.records.runs import cluster_error, job_error
from tests.unit.platforms.reading import objects
from tests.unit.platforms.reading.objects import (
    STANDING,
    T0,
    Object,
    at,
    condition,
    disrupted,
    ended,
    placed,
    ready,
    running,
    snapshot,
    with_condition,
    with_state,
)

SPEC = objects.spec()
NO_SUCH_FILE = 'exec: "/nope": stat /nope: no such file or directory: unknown'
DELETED = "the program: its pod was deleted by somebody else"
GONE = {"deletionTimestamp": at(45)}


def view(seen: Snapshot, last: ClusterView | None = None) -> ClusterView:
    return view_of(seen, SPEC, last)


STOOD = view(snapshot(*STANDING, ready("driver", 15)))


def told(code: int | None, **more: Any) -> str:
    """What the program's wrapper leaves."""
    times = {"started_at": T0 + 15.25, "ended_at": T0 + 49.5}
    return json.dumps({**times, "exit_code": code, "telling": "", "hint": "", **more})


def ends(driver: Object, *others: Object) -> ClusterView:
    """The view when the program's pod is so, after all had been well."""
    return view(snapshot(*(others or STANDING), driver, now=60), STOOD)


# The program ------------------------------------------------------------------------------------


def test_program_has_started_when_its_pod_says_so() -> None:
    assert view(snapshot(*STANDING, running("driver"))).job.started_at is None
    assert STOOD.job.started_at == T0 + 15


def test_wrapper_tells_exactly_how_the_program_ended() -> None:
    job = ends(ended("driver", 3, message=told(3, telling="ValueError: no", hint="try"))).job
    assert (job.started_at, job.ended_at, job.exit_code) == (T0 + 15.25, T0 + 49.5, 3)
    assert (job.reason, job.detail, job.hint) == (Reason.EXIT_CODE, "ValueError: no", "try")


def test_program_that_ended_well_has_no_reason() -> None:
    job = ends(ended("driver", 0, "Completed", told(0))).job
    assert (job.exit_code, job.reason) == (0, None)


@pytest.mark.parametrize(
    ("driver", "code", "reason", "detail"),
    [
        (ended("driver", 3), 3, Reason.EXIT_CODE, ""),
        (ended("driver", 137), -9, Reason.EXIT_CODE, ""),
        (ended("driver", 139, message=told(-11)), -11, Reason.EXIT_CODE, ""),
        (
            ended("driver", 137, "OOMKilled"),
            -9,
            Reason.OUT_OF_MEMORY,
            "the program was killed (1 GiB allowed)",
        ),
        (
            ended("driver", 137, "OOMKilled", told(-9)),
            -9,
            Reason.OUT_OF_MEMORY,
            "the program was killed (1 GiB allowed)",
        ),
        (
            ended("driver", 5, "OOMKilled", told(5)),
            5,
            Reason.OUT_OF_MEMORY,
            "a process of the program was killed (1 GiB allowed), then it ended with 5",
        ),
        (ended("driver", 0, "OOMKilled", told(0)), 0, None, ""),
        (
            disrupted(ended("driver", 143, message=told(-15), **GONE), "EvictionByEvictionAPI"),
            -15,
            Reason.EVICTED,
            "the program: it was evicted from node node-a, as when a node is drained",
        ),
        (disrupted(ended("driver", 0, message=told(0)), "EvictionByEvictionAPI"), 0, None, ""),
        (
            disrupted(ended("driver", 137), "TerminationByKubelet", "The node was low on memory."),
            -9,
            Reason.EVICTED,
            "the program: node node-a ended it: The node was low on memory.",
        ),
        (
            disrupted(ended("driver", 137), "PreemptionByScheduler"),
            -9,
            Reason.EVICTED,
            "the program: it had to make room on node node-a for pods of higher priority",
        ),
        (ended("driver", 143, message=told(-15), **GONE), -15, Reason.POD_LOST, DELETED),
        # A JVM says so when it was told to end.
        (ended("driver", 143, message=told(143), **GONE), 143, Reason.POD_LOST, DELETED),
        (ended("driver", 143, message=told(143)), 143, Reason.EXIT_CODE, ""),
        (ended("driver", 1, message=told(1), **GONE), 1, Reason.EXIT_CODE, ""),
        (
            ended("driver", 128, "StartError", NO_SUCH_FILE),
            None,
            Reason.IMAGE_UNUSABLE,
            f"the program's container could not be started: {NO_SUCH_FILE}",
        ),
    ],
)
def test_end_of_the_program(
    driver: Object, code: int | None, reason: Reason | None, detail: str
) -> None:
    found = ends(driver)
    assert (found.job.exit_code, found.job.reason, found.job.detail) == (code, reason, detail)
    assert found.failure is None


@pytest.mark.parametrize(("code", "reason"), [(127, "NOT_STARTED"), (75, "LAUNCH_FAILED")])
def test_program_that_was_not_started_has_no_exit_code(code: int, reason: str) -> None:
    message = told(None, started_at=None, not_started="x.py: no such file")
    job = view(snapshot(*STANDING, ended("driver", code, message=message))).job
    assert (job.exit_code, job.reason) == (None, Reason[reason])
    assert job.detail == "x.py: no such file"


def test_lost_head_is_why_a_program_failed_after_it() -> None:
    """Ray's driver exits with 1, a minute after its head has gone: no error of its author's."""
    found = ends(ended("driver", 1, message=told(1)), ended("head", 137, "OOMKilled"))
    error = job_error(found)
    assert error is not None
    assert error.reason is Reason.HEAD_LOST
    assert error.detail == "the head was killed: out of memory (it has 1 GiB)"


def test_worker_without_memory_is_why_a_program_failed() -> None:
    terminated = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": at(40)}
    worker = {**ready("worker-a"), "status": ready("worker-a")["status"]}
    killed = with_state(
        worker, {"running": {}}, ready=True, lastState={"terminated": terminated}, restartCount=1
    )
    job = ends(ended("driver", 1, message=told(1)), ready("head"), killed, STANDING[2]).job
    assert job.reason is Reason.OUT_OF_MEMORY
    assert job.detail == "worker-0 was killed: out of memory (it has 1 GiB)"


LOST = {"stored": {"url": "s3://b/heron", "lost": "it cannot be stored at s3://b/heron: denied"}}


def test_program_whose_output_could_not_be_stored_fails_with_that() -> None:
    job = ends(ended("driver", 74, message=told(0, **LOST))).job
    assert (job.exit_code, job.reason) == (0, Reason.OUTPUTS_NOT_STORED)
    assert job.detail.endswith("denied")


def test_program_that_failed_itself_keeps_its_reason_when_its_output_was_not_stored() -> None:
    job = ends(ended("driver", 3, message=told(3, telling="ValueError: no", **LOST))).job
    assert (job.exit_code, job.reason) == (3, Reason.EXIT_CODE)
    assert job.detail == f"ValueError: no; {LOST['stored']['lost']}"


def test_how_much_was_stored_is_known() -> None:
    stored = {"url": "s3://b/heron", "files": 2, "bytes": 2048}
    assert ends(ended("driver", 0, message=told(0, stored=stored))).job.stored == "2 files, 2 KiB"


def test_end_of_a_program_stays_when_its_pod_goes() -> None:
    before = ends(ended("driver", 3, message=told(3)))
    assert view(snapshot(*STANDING), before).job == before.job


@pytest.mark.parametrize(
    ("driver", "reason", "detail"),
    [
        (
            disrupted(ready("driver", 15, **GONE), "DeletionByTaintManager"),
            Reason.NODE_LOST,
            "the program: its node node-a does not answer any more",
        ),
        (
            disrupted(ready("driver", 15, **GONE), "DeletionByPodGC"),
            Reason.NODE_LOST,
            "the program: its node node-a does not exist any more",
        ),
        (None, Reason.POD_LOST, "the program's pod has gone, with how the program ended"),
    ],
)
def test_program_that_cannot_tell_its_end_fails_by_its_cluster(
    driver: Object | None, reason: Reason, detail: str
) -> None:
    failure = view(snapshot(*STANDING, *([driver] if driver else [])), STOOD).failure
    assert failure is not None
    assert (failure.step, failure.reason, failure.detail) == (Step.RUN_USER_JOB, reason, detail)


@pytest.mark.parametrize(
    ("pod", "out"),
    [
        (disrupted(ready("driver", 15, **GONE), "DeletionByTaintManager"), True),
        (with_condition(ready("driver", 15), condition("Ready", False, 40)), True),
        (disrupted(ready("driver", 15, **GONE), "EvictionByEvictionAPI"), False),
        (running("driver"), False),
    ],
)
def test_pod_is_out_of_reach_when_its_node_does_not_answer(pod: Object, out: bool) -> None:
    assert out_of_reach(pod) is out


def test_program_that_is_being_evicted_is_waited_for() -> None:
    leaving = disrupted(ready("driver", 15, **GONE), "EvictionByEvictionAPI")
    assert view(snapshot(*STANDING, leaving), STOOD).failure is None


def test_refused_pod_is_lost() -> None:
    refused = placed("driver")
    refused["status"] |= {"phase": "Failed", "reason": "OutOfcpu", "message": "Node didn't have"}
    failure = view(snapshot(*STANDING, refused), STOOD).failure
    assert failure is not None
    assert failure.detail == "the program: node node-a refused it: OutOfcpu: Node didn't have"


# The head ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "reason", "detail"),
    [
        (ended("head", 1), Reason.HEAD_LOST, "the head exited with 1"),
        (ended("head", 0, "Completed"), Reason.HEAD_LOST, "the head exited with 0"),
        (
            ended("head", 5, "OOMKilled"),
            Reason.HEAD_LOST,
            "the head exited with 5; a process in it was killed: out of memory (it has 1 GiB)",
        ),
        (
            disrupted(ready("head", 5, **GONE), "DeletionByTaintManager"),
            Reason.NODE_LOST,
            "the head: its node node-a does not answer any more",
        ),
        (
            disrupted(ended("head", 143, **GONE), "EvictionByEvictionAPI"),
            Reason.EVICTED,
            "the head: it was evicted from node node-a, as when a node is drained",
        ),
    ],
)
def test_loss_of_the_head(head: Object, reason: Reason, detail: str) -> None:
    found = view(snapshot(head, *STANDING[1:], ready("driver", 15)), STOOD)
    error = cluster_error(found)
    assert error is not None
    assert (error.reason, error.detail) == (reason, detail)
    assert found.job.ended_at is None


@pytest.mark.parametrize(
    ("head", "detail"),
    [
        (
            with_state(
                ready("head", 5),
                {"running": {"startedAt": at(41)}},
                lastState={"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": at(40)}},
            ),
            "the head exited with 1",
        ),
        (running("head", 50, created=45), "its pod was lost, and made again, empty"),
    ],
)
def test_head_that_an_operator_starts_again_is_lost(head: Object, detail: str) -> None:
    error = cluster_error(view(snapshot(head, *STANDING[1:], ready("driver", 15)), STOOD))
    assert error is not None
    assert (error.reason, error.detail) == (Reason.HEAD_LOST, detail)


def test_head_that_dies_before_it_was_ready_never_was() -> None:
    failure = view(snapshot(ended("head", 1), *map(placed, ("worker-a", "worker-b")))).failure
    assert failure is not None
    assert (failure.step, failure.reason) == (Step.START_HEAD, Reason.HEAD_NOT_READY)


def test_sidecar_does_not_keep_a_dead_head_alive() -> None:
    head = ended("head", 1)
    head["status"]["containerStatuses"].append(
        {"name": "files", "ready": True, "state": {"running": {}}}
    )
    head["status"]["phase"] = "Running"
    failure = view(snapshot(head, *STANDING[1:]), STOOD).failure
    assert failure is not None
    assert failure.reason is Reason.HEAD_LOST


@pytest.mark.parametrize("role", ["head", "driver"])
def test_pod_that_went_between_two_looks_went_because_of_what_was_done_to_it(role: str) -> None:
    gone = disrupted(ended(role, 143, **GONE), "EvictionByEvictionAPI")
    others = [pod for pod in (*STANDING, ready("driver", 15)) if not is_of(pod, role)]
    seen = replace(snapshot(*others), gone={gone["metadata"]["name"]: gone})
    failure = view(seen, STOOD).failure
    assert failure is not None
    assert failure.reason is Reason.EVICTED
    assert "it was evicted from node node-a" in failure.detail


def is_of(pod: Object, role: str) -> bool:
    return bool(pod["metadata"]["labels"]["ebbtide.dev/role"] == role)


# Workers ----------------------------------------------------------------------------------------


def restarted(code: int, restarts: int, reason: str = "Error") -> Object:
    """A worker that waits for its next start."""
    terminated = {"exitCode": code, "reason": reason, "finishedAt": at(40)}
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting"}}
    last = {"terminated": terminated}
    return with_state(placed("worker-a"), state, lastState=last, restartCount=restarts)


def test_worker_that_dies_again_and_again_fails_the_start() -> None:
    others = (ready("head"), ready("worker-b", 7, created=1))
    assert view(snapshot(*others, restarted(1, 2))).failure is None
    failure = view(snapshot(*others, restarted(1, 3))).failure
    assert failure is not None
    assert failure.reason is Reason.WORKERS_NOT_JOINED
    assert failure.detail == "worker-0 exited with 1, 3 times before it was seen to be ready"


def test_worker_that_dies_of_memory_with_a_program_there_is_the_programs_failure() -> None:
    there = (ready("head"), ready("driver"))
    failure = view(snapshot(*there, restarted(137, 3, "OOMKilled")), view(snapshot(*there))).failure
    assert failure is not None
    assert failure.reason is Reason.OUT_OF_MEMORY
    assert failure.detail.startswith("worker-0 was killed: out of memory (it has 1 GiB), 3 times")


def test_worker_whose_command_is_missing_fails_at_once() -> None:
    failure = view(snapshot(ready("head"), restarted(128, 1, "StartError"))).failure
    assert failure is not None
    assert failure.reason is Reason.IMAGE_UNUSABLE


def test_worker_that_dies_later_is_replaced() -> None:
    found = view(
        snapshot(ready("head"), restarted(1, 9), ready("worker-b")), view(snapshot(*STANDING))
    )
    assert found.failure is None


@pytest.mark.parametrize(
    ("worker", "expected", "out_of_memory", "sentence"),
    [
        (restarted(137, 1, "OOMKilled"), False, True, "was killed: out of memory (it has 1 GiB)"),
        (restarted(1, 1), False, False, "exited with 1"),
        (ended("worker-a", 0, "Completed", **GONE), True, False, "exited with 0"),
        (
            ended("worker-a", 137, **GONE),
            True,
            False,
            "did not end in its time to leave, and was killed",
        ),
    ],
)
def test_end_of_a_worker(
    worker: Object, expected: bool, out_of_memory: bool, sentence: str
) -> None:
    seen = snapshot(worker)
    (end,) = worker_ends(seen, worker_names(seen.pods, {}))
    assert (end.name, end.expected, end.out_of_memory) == ("worker-0", expected, out_of_memory)
    assert end.sentence == sentence


def test_each_end_of_a_worker_has_a_key_of_its_own() -> None:
    first, second = (worker_ends(snapshot(restarted(1, n)), {})[0].key for n in (1, 2))
    assert first != second
