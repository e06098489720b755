"""What keeps a node from starting a container and passes by itself is not told as a failure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ebbtide.infra.models.job import RetryPolicy
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.kinds import SECRET
from ebbtide.infra.platforms.kubernetes.reading.snapshot import state
from tests.kubernetes.fault_stage import Flow, Stage


@pytest.mark.long
def test_secret_that_comes_late_is_waited_for_and_nothing_is_told_as_wrong(stage: Stage) -> None:
    spec = stage.counts("late", 1, retry=RetryPolicy(reasons=()))
    assert spec.job is not None
    flow = Flow(stage, replace(spec, job=replace(spec.job, secret_keys={"TOKEN": "late/key"})))

    def lacks_it() -> bool:
        pod = stage.pod(flow.driver)
        waits = state(pod, "waiting") if pod is not None else None
        return waits is not None and waits.get("reason") == "CreateContainerConfigError"

    flow.reaches(lacks_it, "its node lacks the Secret")
    made = {"apiVersion": SECRET.api, "kind": SECRET.name, "metadata": {"name": "late"}}
    stage.api.create({**made, "stringData": {"key": "known"}})
    ended = flow.ended()
    assert ended.error is None, ended.error
    assert ended.counted_once()
    told = [event.message for event in ended.events if event.reason is Reason.LAUNCH_FAILED]
    assert told == []
    assert any("cannot make the container" in event.message for event in ended.events)
    assert stage.left() == []
