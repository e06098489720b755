"""Command lines for a pod, written before its address, its name and its files are there."""

from __future__ import annotations

import sys
from pathlib import PurePath

import pytest

from ebbtide.infra.frameworks.base import (
    WITHOUT_CLUSTER,
    Framework,
    FrameworkStatus,
    HeadInfo,
    ProcessSpec,
    WorkerStatus,
    known_frameworks,
    load_framework,
)
from ebbtide.infra.frameworks.plan import ClusterPlan, MemberAddress, MemberPaths, Timeouts
from ebbtide.infra.frameworks.spark import framework as spark
from ebbtide.infra.models.ids import ClusterId
from tests.clusters import cluster_spec

POD = MemberAddress(bind="0.0.0.0", host="$(POD_IP)", port=7000, page_port=7001)
PATHS = MemberPaths(
    python="/opt/image/bin/python",
    framework=PurePath("/opt/image/framework"),
    secrets=PurePath("/mounted/secrets"),
    scratch=PurePath("/mounted/scratch"),
    artifacts=PurePath("/mounted/artifacts"),
    head_file=PurePath("/mounted/head/head.json"),
)
HEAD = HeadInfo(
    address="tls://rose:7000", dashboard="http://rose:7001", status_url="", secret="of-the-front"
)


@pytest.fixture(params=[name for name in known_frameworks() if name != WITHOUT_CLUSTER])
def framework(request: pytest.FixtureRequest) -> Framework:
    return load_framework(request.param)


def plan_of(framework: Framework) -> ClusterPlan:
    return ClusterPlan(
        cluster=ClusterId("rose-1"),
        spec=cluster_spec(framework.name),
        paths=PATHS,
        timeouts=Timeouts(head_start_s=61.5, head_wait_s=62.5),
    )


def members(framework: Framework) -> tuple[ProcessSpec, ProcessSpec]:
    plan = plan_of(framework)
    return framework.head(plan, POD), framework.worker(plan, "$(POD_NAME)", POD)


def test_member_of_a_pod_is_told_what_the_kubelet_fills_in(framework: Framework) -> None:
    head, worker = members(framework)
    for process in (head, worker):
        assert process.argv[0] == PATHS.python
        assert '"host": "$(POD_IP)"' in process.argv[-1]
    assert '"port": 7000, "page_port": 7001' in head.argv[-1]
    assert '"name": "$(POD_NAME)"' in worker.argv[-1]


def test_nothing_of_this_machine_is_told_to_a_pod(framework: Framework) -> None:
    driver = framework.driver_env(plan_of(framework), POD, HEAD)
    said = repr((*members(framework), driver, framework.hello(PATHS.python)))
    assert [
        word for word in (sys.prefix, sys.executable, "127.", "localhost") if word in said
    ] == []


def test_members_wait_as_long_as_the_plan_says(framework: Framework) -> None:
    head, worker = members(framework)
    assert '"start_timeout_s": 61.5' in head.argv[-1]
    assert '"head_wait_s": 62.5' in worker.argv[-1]


def test_keys_are_in_no_representation_and_in_nothing_that_members_are_told(
    framework: Framework,
) -> None:
    plan = plan_of(framework)
    files = framework.prepare(plan)
    driver = framework.driver_env(plan, POD, HEAD)
    said = repr((files, plan, *members(framework), driver))
    lines = [line for file in files for line in file.content.split() if len(line) >= 40]
    assert lines
    assert [line for line in lines if line in said] == []


def test_each_cluster_has_keys_of_its_own(framework: Framework) -> None:
    first, second = (framework.prepare(plan_of(framework)) for _ in range(2))
    names = [file.name for file in first]
    assert names == [file.name for file in second]
    assert "dashboard.secret" in names
    assert set(first) & set(second) <= {file for file in first if file.name == "log4j2.properties"}


def test_spark_worker_is_known_by_the_host_that_its_platform_gave_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by_host = {host: WorkerStatus() for host in ("10.0.0.7", "10.0.0.8", "10.0.0.9")}
    told = FrameworkStatus(workers=by_host, running=2)
    monkeypatch.setattr(spark, "ask_status", lambda _: told)
    found = spark.Spark().status(HEAD, {"10.0.0.7": "worker-0", "10.0.0.8": "rose-x1f"})
    assert found is not None
    assert (set(found.workers), found.running) == ({"worker-0", "rose-x1f"}, 2)
