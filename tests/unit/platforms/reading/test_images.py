"""Why no container of a pod runs: its image, its volumes, its command."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ebbtide.infra.models.cluster import ClusterView, Failure
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.platforms.kubernetes.reading.images import pull_error
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot
from ebbtide.infra.platforms.kubernetes.reading.views import view_of
from tests.unit.platforms.reading import objects
from tests.unit.platforms.reading.objects import event, ready, snapshot, waiting

SPEC = objects.spec()


def view(seen: Snapshot, last: ClusterView | None = None) -> ClusterView:
    return view_of(seen, SPEC, last)


def fails(seen: Snapshot, last: ClusterView | None = None) -> Failure:
    found = view(seen, last).failure
    assert found is not None
    return found


PULL = (
    'failed to pull and unpack image "reg/x:1": failed to resolve reference "reg/x:1": failed to do'
    ' request: Head "https://reg/v2/x/manifests/1": dial tcp: lookup reg on 10.0.0.53:53: read udp'
    " 10.2.0.2:{port}->10.0.0.53:53: i/o timeout"
)


@pytest.mark.parametrize(
    ("why", "message", "told"),
    [
        (
            "ErrImagePull",
            'rpc error: code = NotFound desc = failed to pull and unpack image "reg/x:1": failed to'
            ' resolve reference "reg/x:1": reg/x:1: not found',
            "reg/x:1: not found",
        ),
        (
            "ImagePullBackOff",
            'Back-off pulling image "reg/x:1": ErrImagePull: pull access denied, repository does'
            " not exist or may require authorization",
            "pull access denied, repository does not exist or may require authorization",
        ),
        ("InvalidImageName", "couldn't parse image name", "couldn't parse image name"),
        ("ErrImageNeverPull", "is not present with pull policy", "is not present with pull policy"),
    ],
)
def test_refused_image_fails_with_the_registrys_words(why: str, message: str, told: str) -> None:
    failure = fails(snapshot(waiting("head", why, message)))
    assert (failure.step, failure.reason) == (Step.START_HEAD, Reason.IMAGE_UNUSABLE)
    assert failure.detail == f"head: image ebb:1 cannot be pulled: {told}"


def test_silent_registry_is_given_up_within_half_a_minute_of_its_first_answer() -> None:
    head = waiting("head", "ErrImagePull", PULL.format(port=40000))
    failed = event(head, "Failed", f'Failed to pull image "reg/x:1": {PULL}', 20)
    assert view(snapshot(head, now=44, events=(failed,))).failure is None
    failure = fails(snapshot(head, now=46, events=(failed,)))
    assert failure.reason is Reason.REGISTRY_SILENT
    assert failure.detail.endswith("10.0.0.53:53: i/o timeout")
    assert failure.reason.info.retry_delay_s is None, "a fresh cluster would take as long again"


def test_without_events_it_counts_from_when_it_was_first_seen() -> None:
    head = waiting("head", "ErrImagePull", PULL.format(port=40000))
    first = view(snapshot(head, now=10))
    again = view(snapshot(waiting("head", "ErrImagePull", PULL.format(port=50000)), now=30), first)
    assert again.failure is None
    assert fails(snapshot(head, now=41), again).reason is Reason.REGISTRY_SILENT


def test_words_of_a_failed_pull_do_not_change_with_each_try() -> None:
    assert pull_error(PULL.format(port=1)) == pull_error(PULL.format(port=2))


def test_pull_is_told_while_it_goes_on() -> None:
    head = waiting("head", "ContainerCreating")
    pulling = event(head, "Pulling", 'Pulling image "reg/x:1"', who="kubelet")
    found = view(snapshot(head, events=(pulling,))).waiting
    assert found is not None
    assert found.message == 'head: node node-a pulls image "reg/x:1"'


def pulls(at_s: float, seconds: float, last: ClusterView | None = None) -> ClusterView:
    """A pull that began at 20 s, as it is seen at ``at_s``, of a pool that allows it so long."""
    head = waiting("head", "ContainerCreating")
    pulling = event(head, "Pulling", 'Pulling image "reg/x:1"', 20, who="kubelet")
    pool = replace(SPEC.cluster.pool, pull_within_s=seconds)
    spec = replace(SPEC, cluster=replace(SPEC.cluster, pool=pool))
    return view_of(snapshot(head, now=at_s, events=(pulling,)), spec, last)


def test_pull_without_a_word_is_told_and_given_up_after_the_pools_own_time() -> None:
    first = pulls(79, 600)
    assert first.waiting is not None
    assert (first.waiting.message, first.waiting.hint) == (
        'head: node node-a pulls image "reg/x:1"',
        "",
    )
    later = pulls(150, 600, first)
    assert later.waiting is not None
    assert later.waiting.message == "head: node node-a is pulling reg/x:1 for 2m, no answer"
    assert "pull-within" in later.waiting.hint
    assert pulls(619, 600, later).failure is None
    failure = pulls(620, 600, later).failure
    assert failure is not None
    assert (failure.step, failure.reason) == (Step.START_HEAD, Reason.REGISTRY_SILENT)
    assert failure.detail == "head: node node-a is pulling reg/x:1 for 10m, no answer"


def test_large_image_has_as_long_as_its_pool_says() -> None:
    assert pulls(3000, 3600).failure is None
    assert pulls(28, 8).failure is not None


def test_container_that_cannot_be_made_fails_its_step() -> None:
    head = waiting("head", "CreateContainerConfigError", 'secret "x" not found')
    first = view(snapshot(head))
    failure = fails(snapshot(head, now=45), first)
    assert (failure.step, failure.reason) == (Step.START_HEAD, Reason.HEAD_NOT_READY)


def test_volume_that_cannot_be_mounted_is_told() -> None:
    worker = waiting("worker-a", "ContainerCreating")
    failed = event(worker, "FailedMount", 'MountVolume.SetUp failed: secret "x" not found')
    seen = snapshot(ready("head"), worker, events=(failed,), now=130)
    assert fails(seen).reason is Reason.WORKERS_NOT_JOINED


SYNC = "failed to sync secret cache: timed out waiting for the condition"
NO_NETWORK = "network is not ready: cni plugin not initialized"


def made(at_s: float, *events: tuple[str, str, float]) -> ClusterView:
    """A head whose node makes it, seen at ``at_s``: reasons, messages and times of its events."""
    head = waiting("head", "ContainerCreating")
    told = [event(head, reason, message, when, "kubelet") for reason, message, when in events]
    return view(snapshot(head, now=at_s, events=tuple(told)))


def reasons(*found: ClusterView) -> list[Reason | None]:
    return [each.waiting.reason for each in found if each.waiting is not None]


@pytest.mark.parametrize(
    ("why", "message"),
    [
        ("FailedMount", f'MountVolume.SetUp failed for volume "x": {SYNC}'),
        ("FailedCreatePodSandBox", NO_NETWORK),
        ("FailedAttachVolume", "Multi-Attach error"),
    ],
)
def test_what_keeps_a_pod_from_being_made_is_wrong_only_when_it_lasts(
    why: str, message: str
) -> None:
    failed = (why, message, 20.0)
    early, late = made(49, failed), made(50, failed)
    assert reasons(early, late) == [None, Reason.LAUNCH_FAILED]
    for each in (early, late):
        assert each.waiting is not None
        assert each.waiting.message == f"head: node node-a cannot make the pod: {message}"
    assert made(139, failed).failure is None
    assert made(140, failed).failure is not None


def test_failures_by_turns_count_from_the_first() -> None:
    turns = [("FailedMount", SYNC, 20.0), ("FailedMount", SYNC.replace("secret", "cm"), 48.0)]
    assert reasons(made(49, *turns), made(50, *turns)) == [None, Reason.LAUNCH_FAILED]


@pytest.mark.parametrize("then", ["Pulling", "Pulled", "Created"])
def test_failure_that_has_passed_is_told_no_more_and_ends_nothing(then: str) -> None:
    passed = [("FailedMount", SYNC, 3.0), (then, 'Pulling image "reg/x:1"', 4.0)]
    found = made(300, *passed)
    assert (found.failure, reasons(found)) == (None, [None])
    assert found.waiting is not None
    assert "cannot make" not in found.waiting.message


def test_failure_after_what_came_next_is_a_new_one() -> None:
    again = [("Pulling", "", 4.0), ("FailedCreatePodSandBox", NO_NETWORK, 100.0)]
    assert reasons(made(101, *again), made(130, *again)) == [None, Reason.LAUNCH_FAILED]


@pytest.mark.parametrize("reason", ["FailedMount", "FailedAttachVolume"])
def test_volume_that_is_not_written_anew_keeps_no_image_from_coming(reason: str) -> None:
    found = made(300, ("Pulling", 'Pulling image "reg/x:1"', 4.0), (reason, SYNC, 60.0))
    assert (found.failure, reasons(found)) == (None, [None])
    assert found.waiting is not None
    assert "pulling reg/x:1" in found.waiting.message


def test_new_trouble_does_not_count_from_that_of_before() -> None:
    """An event that came again has the time of its first coming too."""
    head = waiting("head", "ContainerCreating")
    again = event(head, "FailedCreatePodSandBox", NO_NETWORK, 100, "kubelet")
    again["firstTimestamp"] = event(head, "", "", 1)["lastTimestamp"]
    events = (event(head, "Pulled", "", 90, "kubelet"), again)
    seen = [view(snapshot(head, now=now, events=events)) for now in (119, 120)]
    assert reasons(*seen) == [None, Reason.LAUNCH_FAILED]


def test_trouble_whose_words_have_another_id_at_each_try_is_one() -> None:
    said = "failed to create containerd task: failed to mount snapshot {}: no such device"
    head = waiting("head", "CreateContainerError", said.format("b" * 64))
    tries = [
        event(head, "Failed", f"Error: {said.format(each * 64)}", when, "kubelet")
        for each, when in (("a", 20), ("b", 36))
    ]
    found = view(snapshot(head, now=40, events=tuple(tries)))
    assert reasons(found) == [Reason.LAUNCH_FAILED]
    assert found.waiting is not None
    assert "snapshot …: no such device" in found.waiting.message


def test_container_that_waits_for_a_secret_is_wrong_only_when_it_lasts() -> None:
    head = waiting("head", "CreateContainerConfigError", SYNC)
    failed = event(head, "Failed", f"Error: {SYNC}", 20, "kubelet")
    seen = [view(snapshot(head, now=now, events=(failed,))) for now in (37, 38, 49, 50)]
    assert reasons(*seen[:3]) == [None, Reason.LAUNCH_FAILED, Reason.LAUNCH_FAILED]
    assert [found.failure is None for found in seen] == [True, True, True, False]


def test_container_that_cannot_be_made_is_told_at_once_where_no_event_says_since_when() -> None:
    assert reasons(view(snapshot(waiting("head", "CreateContainerError", "no such device")))) == [
        Reason.LAUNCH_FAILED
    ]
