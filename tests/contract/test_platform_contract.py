"""What every platform promises: the verbs converge, and after a release nothing is left.

Here for the local one; where the others run these tests is in ``ELSEWHERE``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.models.resources import NOTHING, Resources
from ebbtide.infra.platforms.base import known_platforms
from ebbtide.infra.records import runs
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import now_s
from tests.clusters import script
from tests.contract.bench import CLUSTER, PATIENCE_S, Bench, at_work, waiting_run
from tests.helpers import wait_until

NOBODY_1 = ClusterId("nobody-1")

EACH = ("none", pytest.param("dask", marks=pytest.mark.long))
"""Without a cluster, and with one: what differs is the framework's own contract."""
ELSEWHERE = {"kubernetes": "tests/kubernetes/test_contract.py"}
WRITER = """
    import os, pathlib
    pathlib.Path(os.environ["EBB_OUTPUT_DIR"], "x").write_text("written")
    """

PRINTER = """
    import sys
    print("out")
    print("err", file=sys.stderr)
    """


READER = """
    import sys
    sys.stdout.write(sys.stdin.read())
    """


@pytest.fixture(params=EACH)
def bench(request: pytest.FixtureRequest, ebb_home: Path, tmp_path: Path) -> Iterator[Bench]:
    spec = waiting_run(tmp_path, "local", request.param)
    with at_work(Bench(Settings(home=ebb_home), spec)) as made:
        yield made


def test_every_platform_has_a_bench() -> None:
    assert set(known_platforms()) == {"local", *ELSEWHERE}


def test_nothing_is_known_of_a_cluster_that_was_never_declared(bench: Bench) -> None:
    assert bench.platform.observe(NOBODY_1) is None
    assert bench.platform.renew(NOBODY_1) is False
    assert bench.platform.held(NOBODY_1) == []


def test_watch_ends_when_the_cluster_differs_from_what_was_seen(bench: Bench) -> None:
    bench.stand()
    seen = bench.view()
    bench.platform.start_job(CLUSTER)
    now = bench.platform.watch(CLUSTER, seen, 600)
    assert now is not None
    assert now != seen


def test_watch_gives_the_same_when_its_time_is_up(bench: Bench) -> None:
    bench.stand()

    def nothing_changed() -> bool:
        seen, began_s = bench.settled(), now_s()
        same = bench.platform.watch(CLUSTER, seen, 0.5) == seen
        return same and 0.5 <= now_s() - began_s < 10

    wait_until(nothing_changed, PATIENCE_S, "an autoscaler's figures may still come")


def test_watch_of_an_unknown_cluster_gives_none_and_at_once_what_had_been_seen(
    bench: Bench,
) -> None:
    assert bench.platform.watch(NOBODY_1, None, 0.1) is None
    assert bench.platform.watch(NOBODY_1, ClusterView(cluster=NOBODY_1), 600) is None


def test_declared_twice_it_is_made_once(bench: Bench) -> None:
    bench.stand()
    once = bench.roles()
    bench.declare()
    assert bench.roles() == once
    assert len(bench.store.living_clusters()) == 1


def test_program_is_started_once_however_often_it_is_asked_for(bench: Bench) -> None:
    bench.stand()
    for _ in range(3):
        bench.platform.start_job(CLUSTER)
    wait_until(lambda: bench.view().job.started_at, PATIENCE_S, "the program runs")
    bench.platform.start_job(CLUSTER)
    wait_until(lambda: bench.said("job"), PATIENCE_S, "it says so")
    assert bench.said("job") == b"x"


def test_held_lists_everything_alive_and_afterwards_nothing(bench: Bench) -> None:
    bench.stand()
    bench.platform.start_job(CLUSTER)
    wait_until(lambda: "driver" in bench.roles(), PATIENCE_S, "the program is listed")
    bench.platform.release(CLUSTER, None)
    wait_until(lambda: bench.view().released_at, PATIENCE_S, "released")
    wait_until(lambda: not bench.roles(), PATIENCE_S, "nothing is left")
    assert bench.platform.orphans() == ()


def test_nodes_of_its_pool_say_what_it_holds_until_it_is_released(bench: Bench) -> None:
    pool, asked = bench.spec.cluster.pool, bench.spec.cluster.first_ask

    def used() -> Resources:
        nodes = bench.platform.machines([pool]).nodes[pool.name]
        return sum((node.used for node in nodes), start=NOTHING)

    bench.stand()
    bench.platform.start_job(CLUSTER)
    wait_until(lambda: asked.fits_in(used()), PATIENCE_S, "its members and its program are there")
    bench.platform.release(CLUSTER, None)
    wait_until(lambda: used() == NOTHING, PATIENCE_S, "nothing is used")


def test_released_twice_the_first_is_remembered(bench: Bench) -> None:
    bench.stand()
    bench.platform.release(CLUSTER, Reason.CANCELLED)
    wait_until(lambda: bench.view().released_at, PATIENCE_S, "released")
    first = bench.view()
    bench.platform.release(CLUSTER, None)
    assert bench.view() == first


def test_end_of_the_program_is_the_clusters_end_where_asked(bench: Bench, tmp_path: Path) -> None:
    bench.run_to_the_end(script(tmp_path, ""))
    assert bench.view().job.exit_code == 0


def test_lease_that_nobody_renews_releases_it(bench: Bench) -> None:
    spec = replace(bench.spec, name=RunName("left"), lease_s=1.0)
    runs.begin(bench.store, spec)
    other = bench.platform.declare(spec, 1)

    def released() -> bool:
        view = bench.platform.observe(other)
        return view is not None and view.released_at is not None

    with bench.others():
        wait_until(released, PATIENCE_S, "the lease lapsed")
        wait_until(lambda: not bench.platform.held(other), PATIENCE_S, "nothing is left of it")
    found = bench.store.cluster(other)
    assert found is not None
    assert found.release_reason is Reason.LEASE_LAPSED


def test_lease_can_be_made_longer_or_shorter_with_a_renewal(bench: Bench) -> None:
    spec = replace(bench.spec, name=RunName("kept"), lease_s=600.0)
    runs.begin(bench.store, spec)
    kept = bench.platform.declare(spec, 1)
    assert bench.platform.renew(kept, 1.0)

    def released() -> bool:
        view = bench.platform.observe(kept)
        return view is not None and view.released_at is not None

    with bench.others():
        wait_until(released, PATIENCE_S, "it lapsed long before its first duration")
        assert not bench.platform.renew(kept, 600.0)
        wait_until(lambda: not bench.platform.held(kept), PATIENCE_S, "nothing is left of it")


def test_clusters_of_a_run_are_those_declared_for_it_also_when_released(bench: Bench) -> None:
    run = bench.spec.name
    assert bench.platform.clusters(run) == ()
    assert bench.platform.cluster_id(run, 1) == CLUSTER
    bench.declare()
    bench.platform.release(CLUSTER, None)
    wait_until(lambda: not bench.platform.held(CLUSTER), PATIENCE_S, "released")
    assert bench.platform.clusters(run) == (CLUSTER,)


def test_output_of_the_program_can_be_fetched_after_its_release(
    bench: Bench, tmp_path: Path
) -> None:
    bench.run_to_the_end(script(tmp_path, WRITER))
    assert (bench.platform.fetch_output(bench.spec.name) / "x").read_text() == "written"


def test_logs_of_the_job_grow_with_what_it_prints_and_stay_after_release(
    bench: Bench, tmp_path: Path
) -> None:
    streams = bench.platform.logs(bench.spec.name, "job")
    assert (streams["stdout"].read(), streams["stderr"].read()) == (b"", b"")
    bench.run_to_the_end(script(tmp_path, PRINTER))
    assert (streams["stdout"].read(), streams["stderr"].read()) == (b"out\n", b"err\n")
    assert streams["stdout"].read() == b"", "what was read is not given again"
    again = bench.platform.logs(bench.spec.name, "job")
    assert b"".join(again["stdout"].pieces()) == b"out\n"


@pytest.mark.parametrize(("attached", "heard"), [(True, b"heard\n"), (False, b"")])
def test_program_reads_what_is_attached_to_its_run_and_else_the_end_of_a_file(
    bench: Bench, tmp_path: Path, attached: bool, heard: bytes
) -> None:
    (tmp_path / "said").write_bytes(b"heard\n")
    with (tmp_path / "said").open("rb") as said, contextlib.ExitStack() as stack:
        if attached:
            stack.enter_context(bench.platform.attach_stdin(bench.spec.name, said.fileno()))
        bench.run_to_the_end(script(tmp_path, READER))
    assert bench.platform.logs(bench.spec.name, "job")["stdout"].read() == heard


def test_a_log_that_does_not_exist_is_refused_with_those_that_do(bench: Bench) -> None:
    with pytest.raises(ConfigurationError) as refused:
        bench.platform.logs(bench.spec.name, "wroker-0")
    assert "job" in refused.value.problems[0].hint


def test_what_a_run_leaves_is_listed_and_each_of_it_can_be_opened(
    bench: Bench, tmp_path: Path
) -> None:
    assert bench.platform.kept(bench.spec.name) == ()
    bench.run_to_the_end(script(tmp_path, WRITER))
    kept = {file.name: file for file in bench.platform.kept(bench.spec.name)}
    assert {"stdout", "stderr", "output/x"} <= kept.keys()
    assert kept["output/x"].bytes_ == len("written")
    (stream,) = bench.platform.logs(bench.spec.name, "output/x").values()
    assert stream.read() == b"written"
    bench.platform.fetch_output(bench.spec.name)
    assert kept["output/x"].path.read_text() == "written"


def test_artifacts_can_be_fetched_also_where_there_are_none(bench: Bench) -> None:
    assert not any(bench.platform.fetch_artifacts(bench.spec.name).glob("*"))


def test_a_platform_that_can_run_a_spec_has_no_problem_with_it(bench: Bench) -> None:
    assert bench.platform.problems() == []
    assert bench.platform.problems(bench.spec) == []


def test_a_program_on_a_held_cluster_is_started_once_and_can_be_stopped(bench: Bench) -> None:
    bench.stand()
    assert bench.spec.job is not None
    for _ in range(2):
        bench.platform.start_program(CLUSTER, "more", bench.spec.job)
    wait_until(lambda: bench.said("more"), PATIENCE_S, "it runs")
    bench.platform.stop_program(CLUSTER, "more")
    wait_until(lambda: bench.view().programs["more"].ended_at, PATIENCE_S, "it has ended")
    assert bench.said("more") == b"x"
    assert bench.view().released_at is None, "the cluster stays"


def test_a_cluster_with_a_living_owner_is_not_reaped(bench: Bench) -> None:
    bench.stand()
    assert bench.platform.reap(CLUSTER) is False
    assert bench.view().released_at is None
    assert bench.platform.reap(NOBODY_1) is False


def test_only_a_cluster_with_pages_has_a_login(bench: Bench) -> None:
    bench.stand()
    assert (bench.platform.login(CLUSTER) is not None) == bench.spec.cluster.has_workers
    assert bench.platform.login(NOBODY_1) is None


def test_sweep_ends_what_still_carries_the_mark(bench: Bench) -> None:
    bench.stand()
    assert bench.platform.sweep(CLUSTER) == []
    assert bench.roles() == []


def test_failed_step_can_be_repeated(bench: Bench) -> None:
    bench.stand()
    bench.platform.repeat(CLUSTER, Step.START_HEAD)
    steps.start_workers(bench.attempt)
    assert bench.view().failure is None
