"""PriorityClasses: a run has its tier's, and says in plain words that it had to make room."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from kubernetes import client

from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.kinds import POD
from ebbtide.infra.platforms.kubernetes.problems import problems_of
from tests.kubernetes.fault_stage import Flow, Stage
from tests.kubernetes.lab.place import NODE
from tests.kubernetes.workloads import most_of_the_node

VALUES = {"low": -100, "high": 100}


@pytest.fixture
def classes(api: client.ApiClient, space: str) -> Iterator[dict[str, str]]:
    """Two, by names that no other test has."""
    scheduling = client.SchedulingV1Api(api)
    names = {each: f"{space}-{each}" for each in VALUES}
    for each, name in names.items():
        scheduling.create_priority_class({"metadata": {"name": name}, "value": VALUES[each]})
    yield names
    for name in names.values():
        scheduling.delete_priority_class(name)


def with_priority(spec: RunSpec, name: str) -> RunSpec:
    tiers = (spec.cluster.tier, spec.cluster.head_tier)
    tier, head = (replace(each, priority=name) for each in tiers)
    return replace(spec, cluster=replace(spec.cluster, tier=tier, head_tier=head))


def test_run_that_has_to_make_room_for_another_of_higher_priority_says_so(
    stage: Stage, api: client.ApiClient, classes: dict[str, str]
) -> None:
    large = most_of_the_node(api)
    spec = with_priority(stage.counts("yields", 60, cpu_millis=large), classes["low"])
    flow = Flow(stage, spec)
    flow.says("begun")
    driver = stage.pod(flow.driver)
    assert driver is not None
    assert driver["spec"]["priority"] == VALUES["low"]
    urgent = with_priority(stage.counts("urgent", 1, cpu_millis=large), classes["high"])
    other = Flow(stage, urgent)
    ended = flow.ended()
    assert ended.reason is Reason.EVICTED
    said = f"it had to make room on node {NODE} for pods of higher priority"
    assert said in str(ended.error)
    assert ended.files == {"kept.txt": "kept"}
    assert other.ended().counted_once()
    assert stage.left() == []
    assert stage.api.list(POD).items == []


def test_class_that_is_not_there_is_refused_with_those_there_are(
    stage: Stage, classes: dict[str, str]
) -> None:
    unknown = with_priority(stage.counts("unknown", 1), f"{classes['high']}er")
    (problem,) = problems_of(stage.settings, unknown)
    assert problem.reason is Reason.OPTION_INVALID
    assert f"did you mean {classes['high']}?" in problem.hint
    assert classes["low"] in problem.hint
