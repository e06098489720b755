"""The records of runs on Kubernetes, on an API server in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.errors import ConfigurationError, EbbError, ProvisioningError
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.models.records import (
    Event,
    EventKind,
    LeaseState,
    ProcessRef,
    Reserved,
    Run,
    RunLimits,
)
from ebbtide.infra.models.usage import Sample, Span
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP, LEASE
from ebbtide.infra.platforms.kubernetes.naming import CLUSTER, ROLE
from ebbtide.infra.platforms.kubernetes.records import encoding
from ebbtide.infra.platforms.kubernetes.records.history import HISTORY, history_in
from ebbtide.infra.platforms.kubernetes.records.store import KubernetesStore
from ebbtide.infra.processes.identity import this_machine
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.waiting import wall_s
from tests.api_server import InMemoryApi, Server, away

NAME, HERON_1 = RunName("heron"), ClusterId("heron-1")
HERON = Run(name=NAME, spec_json="{}")
NOTE = Event(run=NAME, kind=EventKind.NOTE, message="words")


class Team:
    """Stores that look at the same namespace, and what they ask."""

    def __init__(self, home: Path):
        self.server, self._home = Server(), home

    def open(self, *, looking: bool = False) -> KubernetesStore:
        return KubernetesStore(InMemoryApi(self.server), Ledger(self._home), looking=looking)

    def asked_while(self) -> list[str]:
        """The methods of what was asked since this was last called."""
        asked = [request.method for request in self.server.asked]
        self.server.asked.clear()
        return asked

    def lose_the_answer_to(self, method: str) -> None:
        """The next time only."""

        def lose(request: Request) -> None:
            if request.method == method:
                self.server.after = lambda _: None
                away(request)

        self.server.after = lose

    def data(self, name: str) -> dict[str, str]:
        path = CONFIG_MAP.path("team", name)
        data: dict[str, str] = self.server.things[path]["data"]
        return data


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


@pytest.fixture
def store(team: Team) -> KubernetesStore:
    """With one run and its first cluster."""
    store = team.open()
    store.reserve(HERON)
    store.add_cluster(HERON_1, NAME, attempt=1, pool="pool", lease_s=5)
    team.asked_while()
    return store


def on_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "this_machine", lambda: "elsewhere")


def known(store: KubernetesStore) -> Run:
    run = store.run(NAME)
    assert run is not None
    return run


def test_looking_asks_and_changes_nothing(team: Team, store: KubernetesStore) -> None:
    store.append(NOTE)
    before = dict(team.server.things)
    team.asked_while()
    other = team.open()
    other.runs()
    other.living_with_runs()
    other.events(NAME)
    other.spans(NAME)
    other.version()
    other.run_names("heron")
    assert set(team.asked_while()) == {"GET"}
    assert team.server.things == before


def test_listing_open_runs_with_their_views_is_two_questions(team: Team) -> None:
    store = team.open()
    for number in range(5):
        store.reserve(replace(HERON, name=RunName(f"run-{number}")))
        cluster = ClusterId(f"run-{number}-1")
        store.add_cluster(cluster, RunName(f"run-{number}"), attempt=1, pool="pool", lease_s=5)
    looks = team.open(looking=True)
    team.asked_while()
    clusters = [looks.last_cluster(run.name) for run in looks.runs(open_only=True)]
    assert None not in clusters
    assert team.asked_while() == ["GET", "GET"], "the records, and the Leases"


def test_names_come_in_small_pages_of_metadata(team: Team) -> None:
    store = team.open()
    for number in range(150):
        store.reserve(replace(HERON, name=RunName(f"run-{number}"), created=1.0 + number))
    team.asked_while()
    assert store.run_names()[:2] == ["run-149", "run-148"]
    asked = list(team.server.asked)
    assert len(asked) == 2
    assert all("PartialObjectMetadata" in request.accept for request in asked)


def test_a_change_by_who_changed_it_last_is_one_request(team: Team, store: KubernetesStore) -> None:
    store.set_phase(NAME, Phase.STARTING)
    store.set_phase(NAME, Phase.RUNNING)
    assert team.asked_while() == ["PUT", "PUT"]


def test_what_is_so_already_is_not_written(team: Team, store: KubernetesStore) -> None:
    view = ClusterView(cluster=HERON_1, workers_wanted=1)
    store.write_view(view)
    team.asked_while()
    store.write_view(view)
    assert "PUT" not in team.asked_while()


def test_an_event_whose_answer_was_lost_is_there_once(team: Team, store: KubernetesStore) -> None:
    store.append(NOTE)
    team.lose_the_answer_to("PUT")
    store.append(replace(NOTE, message="more"))
    assert [event.message for event in store.events(NAME)] == ["words", "more"]


def test_who_ended_a_run_and_lost_the_answer_was_the_first(
    team: Team, store: KubernetesStore
) -> None:
    team.lose_the_answer_to("PUT")
    assert store.end_run(NAME, Phase.SUCCEEDED, None, "", 0)
    assert not store.end_run(NAME, Phase.FAILED, Reason.EXIT_CODE, "", 1)


def test_who_reserved_a_name_and_lost_the_answer_has_it(team: Team) -> None:
    team.lose_the_answer_to("POST")
    assert team.open().reserve(HERON) is Reserved.DONE
    assert team.open().reserve(HERON) is Reserved.NAME_TAKEN


def test_server_that_does_not_answer_is_said_and_not_taken_for_no_runs(
    team: Team, store: KubernetesStore
) -> None:
    team.server.before = away
    for ask in (store.runs, lambda: store.run(NAME), lambda: store.append(NOTE)):
        with pytest.raises(ProvisioningError) as refused:
            ask()
        assert refused.value.reason is Reason.API_UNREACHABLE


def test_run_of_a_newer_ebb_is_refused_by_name_and_left_out_of_lists(
    team: Team, store: KubernetesStore
) -> None:
    store.reserve(replace(HERON, name=RunName("newer")))
    team.data("ebb-run-newer")["format"] = "99"
    assert [run.name for run in store.runs()] == ["heron"]
    with pytest.raises(ConfigurationError, match="newer ebb"):
        store.run(RunName("newer"))


def test_object_that_is_no_record_is_named(team: Team, store: KubernetesStore) -> None:
    team.data("ebb-run-heron")["run"] = "[]"
    with pytest.raises(EbbError, match="ebb-run-heron is no record of a run") as refused:
        store.run(NAME)
    assert store.runs() == []
    assert refused.value.reason is Reason.LEDGER_UNWRITABLE


def test_name_whose_object_is_something_else_is_not_tried_for_ever(team: Team) -> None:
    metadata = {"name": "ebb-run-heron"}
    InMemoryApi(team.server).create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {}}
    )
    with pytest.raises(ProvisioningError, match="ebb-run-heron is no record of a run"):
        team.open().reserve(HERON)


def test_name_that_is_a_path_is_nobodys(team: Team, store: KubernetesStore) -> None:
    assert store.run(RunName("../../secrets/mine")) is None
    assert team.asked_while() == []


def test_event_of_a_kind_that_is_not_known_is_a_note(team: Team, store: KubernetesStore) -> None:
    store.append(NOTE)
    story = team.data("ebb-run-heron.story")
    event = json.loads(story["events"])
    story["events"] = json.dumps({**event, "kind": "new", "reason": "NEW", "step": "new"})
    (found,) = store.events(NAME)
    assert (found.kind, found.reason, found.step) == (EventKind.NOTE, None, None)


def test_process_of_another_machine_is_not_taken_for_one_of_this(
    store: KubernetesStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.register_flow_process(NAME, ProcessRef(1, 2.0), None)
    assert known(store).flow_process == ProcessRef(1, 2.0)
    machine = this_machine()
    on_another_machine(monkeypatch)
    assert known(store).flow_process == ProcessRef(1, 2.0, machine=machine)
    store.set_attempt(NAME, 2)
    monkeypatch.undo()
    assert known(store).flow_process == ProcessRef(1, 2.0)


def test_run_that_was_just_asked_for_elsewhere_may_have_a_process_there(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = team.open()
    store.reserve(HERON)
    assert known(store).flow_process is None
    on_another_machine(monkeypatch)
    process = known(store).flow_process
    assert process is not None
    assert process.machine


def test_run_of_another_machine_that_holds_nothing_has_nobody_after_an_hour(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = team.open()
    store.reserve(HERON)
    team.data("ebb-run-heron")["written"] = str(wall_s() - encoding.ALONE_S - 1)
    on_another_machine(monkeypatch)
    assert known(store).flow_process is None
    store.add_cluster(HERON_1, NAME, attempt=1, pool="pool", lease_s=5)
    team.data("ebb-run-heron")["written"] = str(wall_s() - encoding.ALONE_S - 1)
    assert known(store).flow_process is not None


def test_lease_has_the_renewals_and_how_long_they_last(team: Team, store: KubernetesStore) -> None:
    labels = {CLUSTER: HERON_1, ROLE: "cluster"}
    metadata = {"name": HERON_1, "labels": labels}
    lease = {"apiVersion": LEASE.api, "kind": LEASE.name, "metadata": metadata, "spec": {}}
    InMemoryApi(team.server).create(lease)
    team.asked_while()
    store.renew(HERON_1)
    team.asked_while()
    assert store.renew(HERON_1, 30)
    assert team.asked_while() == ["PATCH"]
    cluster = store.cluster(HERON_1)
    assert cluster is not None
    assert cluster.lease_s == 30
    assert wall_s() - 5 < cluster.beat_at <= wall_s()
    assert store.living_clusters() == [cluster]


def test_cluster_whose_lease_has_gone_is_not_renewed(store: KubernetesStore) -> None:
    store.write_view(ClusterView(cluster=HERON_1, workers_wanted=1))
    assert not store.renew(HERON_1)


def test_cluster_with_its_nodes_waits_no_longer(store: KubernetesStore) -> None:
    assert store.runs_waiting("pool") == 1
    store.write_view(ClusterView(cluster=HERON_1, admitted_at=7.0))
    cluster = store.cluster(HERON_1)
    assert cluster is not None
    assert cluster.state is LeaseState.ADMITTED
    assert store.runs_waiting("pool") == 0


def test_who_waits_and_who_holds_is_counted_with_limits(team: Team) -> None:
    store = team.open()
    for number in (1, 2):
        store.reserve(replace(HERON, name=RunName(f"run{number}"), owner="ada"))
        store.add_cluster(
            ClusterId(f"run{number}-1"),
            RunName(f"run{number}"),
            attempt=1,
            pool="pool",
            lease_s=5,
            limits=RunLimits(tier="small", max_owner_runs=1),
        )
    store.write_view(ClusterView(cluster=ClusterId("run1-1"), admitted_at=7.0))
    use = store.pool_use("pool")
    assert [entry.run for entry in use.holding] == ["run1"]
    assert [(entry.owner, entry.max_owner_runs) for entry in use.waiting] == [("ada", 1)]
    assert store.pool_use("other").waiting == ()


def test_shares_are_the_spans_that_go_on(store: KubernetesStore) -> None:
    spans = [
        Span(
            cluster=HERON_1,
            owner=owner,
            tier="small",
            cpu_millis=1000,
            memory_bytes=1,
            gpus=2 if owner == "worker-2" else 0,
            price_per_hour=0,
            began=1,
            ended=ended,
        )
        for owner, ended in (("worker-10", None), ("worker-2", None), ("gone", 2.0), ("head", None))
    ]
    store.write_usage(HERON_1, spans, [])
    assert store.shares_of(NAME) == ["head", "worker-2", "worker-10"]
    assert [(share.pool, share.amount.gpus) for share in store.shares()] == [
        *(("pool", 0), ("pool", 2), ("pool", 0)),
    ]
    store.mark_released(HERON_1, by="test")
    assert store.shares() == []


def test_event_of_a_run_that_is_not_known_makes_nothing(team: Team) -> None:
    team.open().append(NOTE)
    assert team.server.things == {}


def test_the_largest_story_fits_and_says_once_what_is_missing(
    team: Team, store: KubernetesStore
) -> None:
    """The API server in memory refuses what a real one refuses."""
    for _ in range(60):
        store.append(replace(NOTE, message="x" * 8000, data={"much": "x" * 30_000}))
    spans = [
        Span(
            cluster=HERON_1,
            owner=f"heron-1-worker-{number}",
            tier="small",
            cpu_millis=1000,
            memory_bytes=1,
            price_per_hour=0,
            began=1,
            ended=2.0,
        )
        for number in range(2000)
    ]
    samples = [
        Sample(
            number=number,
            at=1e9 / 3,
            wanted=10,
            joined=10,
            cpu_percent=100 / 3,
            memory_percent=100 / 3,
            worker_cpu_s=1e5 / 3,
        )
        for number in range(10_000)
    ]
    for _ in range(2):
        store.write_usage(HERON_1, spans, samples)
    size = sum(map(len, team.data("ebb-run-heron.story").values()))
    assert size < 900 * 2**10
    messages = [event.message for event in store.events(NAME)]
    assert sum("samples are left out" in message for message in messages) == 1
    assert sum("events were left out" in message for message in messages) == 1
    assert store.events(NAME)[-1].id == 62


def test_runs_beyond_the_history_go_when_another_ends(team: Team) -> None:
    store = team.open()
    for number in range(4):
        store.reserve(replace(HERON, name=RunName(f"run-{number}")))
    metadata = {"name": "ebb-catalog"}
    catalog = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    InMemoryApi(team.server).create({**catalog, "data": {"ebb.yaml": "keep: 2 runs"}})
    for number in range(4):
        store.end_run(RunName(f"run-{number}"), Phase.SUCCEEDED, None, "", 0)
    assert sorted(store.run_names()) == ["run-2", "run-3"]


def test_history_that_nobody_has_written_is_a_week_and_200_runs() -> None:
    assert history_in(None) == history_in("keep: much") == history_in("[") == HISTORY
    assert str(HISTORY) == "7d, 200 runs"
    assert str(history_in("keep: [30d, 1000 runs]")) == "30d, 1000 runs"
