"""Images that are not what the catalog says, or not the same for all pods of a run."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from ebbtide.infra.models.job import RetryPolicy
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.clusters import declaring
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.waiting import now_s
from tests.kubernetes.conftest import Image
from tests.kubernetes.fault_stage import Flow, Stage

WITH, WITHOUT = "with distributed", "without distributed"


def from_another_image(thing: Object, image: str) -> Object:
    """A pod's object, or a Deployment, as it is where images are not the same everywhere."""
    changed = copy.deepcopy(thing)
    body = changed["spec"]
    for container in (body["template"]["spec"] if "template" in body else body)["containers"]:
        container["image"] = image
    return changed


def test_image_without_the_framework_is_named_and_no_fresh_cluster_tries_it(
    stage: Stage, image: Image
) -> None:
    wrong = image("none")
    there = replace(stage, pool=replace(stage.pool, images={"dask": wrong}))
    began_s = now_s()
    ended = Flow(there, there.counts("wrong", 1, "dask", retry=RetryPolicy())).ended()
    assert (ended.reason, ended.attempts) == (Reason.IMAGE_UNUSABLE, [])
    assert f"image {wrong} has no " in str(ended.error)
    assert now_s() - began_s < 60
    assert stage.left() == []


@pytest.mark.parametrize(
    ("role", "first"),
    [
        ("driver", "the program on node "),
        pytest.param("worker", "worker-0 on node ", marks=pytest.mark.long),
    ],
)
def test_program_or_worker_from_another_image_than_the_heads_ends_the_run_before_it_starts(
    stage: Stage, image: Image, monkeypatch: pytest.MonkeyPatch, role: str, first: str
) -> None:
    """As where a tag was moved, and a node that pulls it later has another image of that name."""
    other, add = image("none"), declaring.add

    def added(api: Api, lease: Object, thing: Object) -> Object | None:
        name = str(thing["metadata"]["name"])
        runs = thing["kind"] in ("Pod", "Deployment") and name.endswith(f"-{role}")
        return add(api, lease, from_another_image(thing, other) if runs else thing)

    monkeypatch.setattr(declaring, "add", added)
    ended = Flow(stage, stage.counts("mixed", 1, "dask", retry=RetryPolicy())).ended()
    assert (ended.reason, ended.attempts) == (Reason.VERSIONS_DIFFER, [])
    told = str(ended.error)
    assert told.startswith(f"{Reason.VERSIONS_DIFFER}: {first}")
    assert told.index(WITHOUT) < told.index(WITH)
    assert ended.error is not None
    assert "one image" in ended.error.hint
    assert (ended.started, ended.stdout) == (0, "")
    assert stage.left() == []
