"""What is written down is read back as it was."""

from __future__ import annotations

import json
import typing

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ebbtide.infra.models.cluster import ClusterView, Failure, JobView, QueueView
from ebbtide.infra.models.codec import from_data, from_json, to_data, to_json
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.models.resources import Resources

TYPES: list[type[typing.Any]] = [RunSpec, ClusterView]


@pytest.mark.parametrize("kind", TYPES)
@settings(deadline=None)
@given(data=st.data())
def test_round_trip_gives_the_same_value(kind: type[typing.Any], data: st.DataObject) -> None:
    value = data.draw(st.from_type(kind))
    assume("NaN" not in to_json(value))  # which equals nothing, and no field of ours ever holds
    assert from_json(kind, to_json(value)) == value


def test_failure_inside_a_view_survives() -> None:
    failure = Failure(step=Step.START_HEAD, reason=Reason.HEAD_NOT_READY, detail="why")
    view = ClusterView(cluster=ClusterId("a-1"), failure=failure, job=JobView(exit_code=-9))
    assert from_json(ClusterView, to_json(view)) == view


def test_tuples_stay_tuples() -> None:
    queue = QueueView(
        position=1,
        ahead=(RunName("a"), RunName("b")),
        pool="p",
        free=Resources(1, 2),
        asked=Resources(3, 4),
    )
    assert from_data(QueueView, to_data(queue)).ahead == ("a", "b")


def test_key_of_a_newer_version_is_ignored() -> None:
    text = json.dumps({"cluster": "a-1", "invented_later": 1})
    assert from_json(ClusterView, text).cluster == "a-1"
