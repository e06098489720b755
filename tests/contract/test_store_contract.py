"""What every store of runs keeps to; a new one has to be named in ``IMPLEMENTATIONS`` only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.orders import Autoscale, Keep, Orders, StartProgram
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.models.records import (
    Event,
    EventKind,
    LeaseState,
    ProcessRef,
    Registration,
    Reserved,
    Run,
    RunLimits,
)
from ebbtide.infra.models.usage import Sample, Span
from ebbtide.infra.platforms.kubernetes.records.store import KubernetesStore
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s
from tests.api_server import InMemoryApi, Server
from tests.clusters import cluster_spec, run_spec

EGRET = RunName("egret")
HERON_1 = ClusterId("heron-1")
HERON_NAME = RunName("heron")
NOBODY = RunName("nobody")
NOBODY_1 = ClusterId("nobody-1")

SERVERS: dict[Path, Server] = {}


def _on_kubernetes(folder: Path) -> RunStore:
    """On an API server in memory; tests/kubernetes runs the same tests on a real one."""
    api = InMemoryApi(SERVERS.setdefault(folder, Server()))
    return KubernetesStore(api, Ledger(folder))


IMPLEMENTATIONS: dict[str, Callable[[Path], RunStore]] = {
    "sqlite": Ledger,
    "kubernetes": _on_kubernetes,
    "routed": lambda folder: open_store(Settings(home=folder)),
}
SIDE_BY_SIDE = 8
HERON = Run(name=HERON_NAME, spec_json="{}")
NOTE = Event(run=HERON_NAME, kind=EventKind.NOTE, message="words")
JOB = JobSpec(argv=("true",), workdir="/")


@dataclass
class Place:
    """Where stores of one kind look at the same records, each as another process would."""

    open: Callable[[], RunStore]

    def side_by_side(self, act: Callable[[RunStore, int], object]) -> list[object]:
        """What comes of it when several do it at once, each with a store of its own."""

        def alone(number: int) -> object:
            with closing(self.open()) as store:
                return act(store, number)

        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            return list(pool.map(alone, range(SIDE_BY_SIDE)))


@pytest.fixture(params=IMPLEMENTATIONS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(lambda: IMPLEMENTATIONS[request.param](tmp_path))


@pytest.fixture
def store(place: Place) -> Iterator[RunStore]:
    """With one run and its first cluster."""
    with closing(place.open()) as store:
        assert store.reserve(HERON) is Reserved.DONE
        add(store, "heron", 1)
        yield store


def add(store: RunStore, run: str, attempt: int) -> str:
    cluster = f"{run}-{attempt}"
    store.add_cluster(ClusterId(cluster), RunName(run), attempt=attempt, pool="local", lease_s=5)
    return cluster


def test_of_many_at_once_one_has_the_name(place: Place) -> None:
    outcomes = place.side_by_side(lambda store, _: store.reserve(HERON))
    assert Counter(outcomes) == {Reserved.DONE: 1, Reserved.NAME_TAKEN: SIDE_BY_SIDE - 1}


def test_no_more_may_wait_for_a_pool_than_it_says_also_at_once(place: Place) -> None:
    def reserve(store: RunStore, number: int) -> Reserved:
        return store.reserve(
            replace(HERON, name=RunName(f"run-{number}")), pool="local", max_waiting=3
        )

    outcomes = place.side_by_side(reserve)
    assert Counter(outcomes) == {Reserved.DONE: 3, Reserved.QUEUE_FULL: SIDE_BY_SIDE - 3}
    with closing(place.open()) as store:
        assert store.runs_waiting("local") == len(store.runs()) == 3


def test_a_run_is_read_as_it_was_written(store: RunStore) -> None:
    run = Run(
        name=EGRET,
        spec_json='{"a": 1}',
        created=7.0,
        flow_process=ProcessRef(1, 2.0),
        flow_run_id="flow",
        key="key",
        owner="ada",
        tags=("nightly",),
    )
    store.reserve(run)
    assert store.run(EGRET) == run


def test_nobody_is_found_under_a_name_that_is_free(store: RunStore) -> None:
    assert store.run(NOBODY) is None
    assert store.cluster(NOBODY_1) is None
    assert store.last_cluster(NOBODY) is None
    assert store.events(NOBODY) == []


def test_the_latest_run_of_a_key_is_found_until_it_gives_up_the_key(store: RunStore) -> None:
    for number in (1, 2):
        store.reserve(
            replace(HERON, name=RunName(f"egret-{number}"), key="flow/train", created=number)
        )
    assert store.runs_of("flow/train") == ["egret-2", "egret-1"]
    for latest in ("egret-2", "egret-1"):
        found = store.run_of("flow/train")
        assert found is not None
        assert found.name == latest
        store.set_key(found.name, None)
    assert store.run_of("flow/train") is None


def test_run_is_what_it_was_set_to_with_its_attempt(store: RunStore) -> None:
    other = replace(run_spec("heron", cluster_spec("none")), tags=("on another tier",))
    for attempt, spec in ((2, other), (3, None)):
        store.set_attempt(HERON_NAME, attempt, spec)
        found = store.run(HERON_NAME)
        assert found is not None
        assert (found.attempt, found.spec) == (attempt, other)


def test_runs_of_a_flow_are_its_own_and_those_of_its_jobs(store: RunStore) -> None:
    store.reserve(replace(HERON, name=RunName("own"), flow_run_id="flow"))
    store.reserve(replace(HERON, name=RunName("job"), key="flow/train", flow_run_id="child"))
    assert sorted(store.runs_of_flow("flow")) == ["job", "own"]


def test_names_that_begin_alike_are_those_before_a_dash(store: RunStore) -> None:
    for name in ("heron-2", "herons"):
        store.reserve(replace(HERON, name=RunName(name)))
    assert sorted(store.run_names("heron")) == ["heron", "heron-2"]
    assert sorted(store.run_names()) == ["heron", "heron-2", "herons"]


def test_the_first_end_is_believed(place: Place, store: RunStore) -> None:
    def end(other: RunStore, number: int) -> bool:
        return other.end_run(HERON_NAME, Phase.FAILED, Reason.EXIT_CODE, "", number)

    ends = place.side_by_side(end)
    assert ends.count(True) == 1
    run = store.run(HERON_NAME)
    assert run is not None
    assert (run.over, run.phase, run.reason) == (True, Phase.FAILED, Reason.EXIT_CODE)
    assert run.exit_code == ends.index(True)


def test_a_run_that_has_ended_has_no_other_phase_and_is_not_stopped(store: RunStore) -> None:
    store.set_phase(HERON_NAME, Phase.RUNNING)
    store.end_run(HERON_NAME, Phase.SUCCEEDED, None, "", 0)
    store.set_phase(HERON_NAME, Phase.STARTING)
    assert not store.request_stop(HERON_NAME, Reason.CANCELLED)
    run = store.run(HERON_NAME)
    assert run is not None
    assert (run.phase, run.stop_reason) == (Phase.SUCCEEDED, None)


def test_a_stop_that_is_asked_for_is_seen(store: RunStore) -> None:
    assert store.request_stop(HERON_NAME, Reason.CANCELLED)
    assert not store.request_stop(NOBODY, Reason.CANCELLED)
    run = store.run(HERON_NAME)
    assert run is not None
    assert (run.stop_reason, run.over) == (Reason.CANCELLED, False)


def test_who_drives_a_run_is_who_said_so_last(store: RunStore) -> None:
    store.register_flow_process(HERON_NAME, ProcessRef(1, 2.0), "flow")
    store.register_flow_process(HERON_NAME, ProcessRef(3, 4.0), None)
    run = store.run(HERON_NAME)
    assert run is not None
    assert (run.flow_process, run.flow_run_id) == (ProcessRef(3, 4.0), None)


def test_events_come_in_order_and_those_after_one_are_new(store: RunStore) -> None:
    store.append(replace(NOTE, message="one", cluster=HERON_1, data={"extra": [1]}))
    store.append(replace(NOTE, message="two", reason=Reason.IDLE, at=7.0))
    one, two = store.events(HERON_NAME)
    assert (one.message, one.cluster, one.data) == ("one", "heron-1", {"extra": [1]})
    assert wall_s() - 60 < one.at <= wall_s()
    assert two == replace(NOTE, id=two.id, message="two", reason=Reason.IDLE, at=7.0)
    assert store.events(HERON_NAME, one.id) == [two]
    assert store.events(HERON_NAME, two.id) == []


def test_of_events_at_once_none_is_lost(place: Place, store: RunStore) -> None:
    place.side_by_side(lambda other, number: other.append(replace(NOTE, message=str(number))))
    assert len({event.id for event in store.events(HERON_NAME)}) == SIDE_BY_SIDE


def test_the_version_changes_when_another_writes_and_not_when_it_looks(
    place: Place, store: RunStore
) -> None:
    before = store.version()
    with closing(place.open()) as other:
        other.runs()
        other.living_with_runs()
        other.events(HERON_NAME)
        assert store.version() == before
        other.append(NOTE)
    assert store.version() != before


def test_a_cluster_that_is_added_again_stays_as_it_is(place: Place, store: RunStore) -> None:
    store.renew(HERON_1)
    before = store.cluster(HERON_1)
    place.side_by_side(lambda other, _: add(other, "heron", 1))
    assert store.cluster(HERON_1) == before
    assert store.clusters_of(HERON_NAME) == ["heron-1"]


def test_a_new_cluster_waits_and_knows_its_attempt(store: RunStore) -> None:
    cluster = store.cluster(ClusterId(add(store, "heron", 2)))
    assert cluster is not None
    assert cluster == store.last_cluster(HERON_NAME)
    assert (cluster.state, cluster.attempt) == (LeaseState.QUEUED, 2)
    assert (cluster.orders, cluster.view) == (Orders(), None)


def test_limits_are_taken_with_a_cluster(store: RunStore) -> None:
    limits = RunLimits(tier="small", max_tier_runs=2, max_owner_runs=1)
    store.add_cluster(
        ClusterId("heron-2"), HERON_NAME, attempt=2, pool="local", lease_s=5, limits=limits
    )
    cluster = store.cluster(ClusterId("heron-2"))
    assert cluster is not None
    assert cluster.limits == limits


def test_a_renewal_is_seen_and_a_released_cluster_is_not_renewed(store: RunStore) -> None:
    before = store.cluster(HERON_1)
    assert store.renew(HERON_1)
    after = store.cluster(HERON_1)
    assert before is not None
    assert after is not None
    assert after.renewals != before.renewals
    store.mark_released(HERON_1, by="test")
    assert not store.renew(HERON_1)
    assert not store.renew(NOBODY_1)


def test_a_renewal_can_say_how_long_the_lease_lasts_from_then_on(store: RunStore) -> None:
    before = store.cluster(HERON_1)
    assert store.renew(HERON_1, 60.0)
    assert store.renew(HERON_1)
    after = store.cluster(HERON_1)
    assert before is not None
    assert after is not None
    assert (before.lease_s, after.lease_s) == (5.0, 60.0)
    assert after.renewals != before.renewals
    assert not store.renew(NOBODY_1, 60.0)


def test_of_orders_at_once_none_is_lost(place: Place, store: RunStore) -> None:
    store.order(HERON_1, Autoscale())

    def order(other: RunStore, number: int) -> None:
        other.order(HERON_1, StartProgram(name=f"program-{number}", job=JOB))

    place.side_by_side(order)
    cluster = store.cluster(HERON_1)
    assert cluster is not None
    assert cluster.orders.autoscale
    assert len(cluster.orders.programs) == SIDE_BY_SIDE


def test_orders_are_found_by_the_key_of_their_run(store: RunStore) -> None:
    store.set_key(HERON_NAME, "flow/cluster")
    store.order(HERON_1, Keep())
    assert store.orders_of("flow/cluster") == [Orders(kept=True)]
    assert store.orders_of("flow/other") == []


def test_a_view_is_read_as_it_was_written(store: RunStore) -> None:
    view = ClusterView(cluster=HERON_1, workers_wanted=3, head_address="tcp://head")
    store.write_view(view)
    cluster = store.cluster(HERON_1)
    assert cluster is not None
    assert cluster.view == view


def test_the_first_release_is_believed(place: Place, store: RunStore) -> None:
    def release(other: RunStore, number: int) -> bool:
        return other.mark_released(HERON_1, by=str(number), reason=Reason.SUPERVISOR_LOST)

    releases = place.side_by_side(release)
    assert releases.count(True) == 1
    cluster = store.cluster(HERON_1)
    assert cluster is not None
    assert (cluster.released, cluster.state) == (True, LeaseState.RELEASED)
    assert cluster.released_by == str(releases.index(True))
    assert cluster.release_reason is Reason.SUPERVISOR_LOST


def test_living_clusters_are_those_that_are_not_released(store: RunStore) -> None:
    add(store, "heron", 2)
    store.mark_released(HERON_1, by="test")
    assert [cluster.id for cluster in store.living_clusters()] == ["heron-2"]
    assert [cluster.id for cluster in store.living_clusters(HERON_NAME)] == ["heron-2"]
    assert store.living_clusters(EGRET) == []
    ((cluster, run),) = store.living_with_runs()
    assert (cluster.id, run.name) == ("heron-2", "heron")


def test_a_process_that_has_been_followed_by_another_is_not_unregistered(store: RunStore) -> None:
    store.register_process("flow", "mine", ProcessRef(1, 2.0))
    (first,) = store.registered()
    store.register_process("flow", "mine", ProcessRef(3, 4.0))
    second = Registration(flow_run_id="flow", name="mine", process=ProcessRef(3, 4.0))
    store.unregister_process(first)
    assert store.registered() == [second]
    store.unregister_process(second)
    assert not store.is_registered("flow")


def test_a_span_does_not_outlast_its_cluster(store: RunStore) -> None:
    span = Span(
        cluster=HERON_1,
        owner="head",
        tier="small",
        cpu_millis=1000,
        memory_bytes=1,
        price_per_hour=0.0,
        began=1.0,
    )
    sample = Sample(
        number=0, at=1, wanted=1, joined=1, cpu_percent=1, memory_percent=1, worker_cpu_s=1
    )
    store.write_usage(HERON_1, [span], [sample])
    assert (store.spans(HERON_NAME), store.samples(HERON_NAME)) == ([span], [sample])
    store.mark_released(HERON_1, by="test")
    cluster = store.cluster(HERON_1)
    assert cluster is not None
    assert store.spans(HERON_NAME)[0].ended == cluster.released_at


def test_only_a_run_that_is_over_is_forgotten_and_then_wholly(store: RunStore) -> None:
    store.append(NOTE)
    assert not store.forget_run(HERON_NAME)
    store.end_run(HERON_NAME, Phase.SUCCEEDED, None, "", 0)
    assert not store.forget_run(HERON_NAME), "its cluster is not released"
    store.mark_released(HERON_1, by="test")
    assert [run.name for run in store.runs_over()] == ["heron"]
    assert store.forget_run(HERON_NAME)
    assert store.run(HERON_NAME) is None
    assert (store.clusters_of(HERON_NAME), store.events(HERON_NAME)) == ([], [])


def test_runs_are_listed_in_the_order_they_were_asked_for(store: RunStore) -> None:
    for at in (3.0, 2.0):
        store.reserve(replace(HERON, name=RunName(f"run-{at:g}"), created=at))
    store.end_run(RunName("run-2"), Phase.SUCCEEDED, None, "", 0)
    assert [run.name for run in store.runs()] == ["run-2", "run-3", "heron"]
    assert [run.name for run in store.runs(open_only=True)] == ["run-3", "heron"]
    assert [run.name for run in store.runs_since(2.5)] == ["run-3", "heron"]
    count = store.count_runs(since=2.5)
    assert (count.total, count.recent, count.first) == (3, 2, 2.0)
