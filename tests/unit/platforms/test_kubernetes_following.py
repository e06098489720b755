"""Records that are read often: followed by one watch, shared by all stores of the process."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Phase
from ebbtide.infra.models.records import Event, EventKind, Run
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP, LEASE, Kind
from ebbtide.infra.platforms.kubernetes.naming import CLUSTER, ROLE
from ebbtide.infra.platforms.kubernetes.records import following
from ebbtide.infra.platforms.kubernetes.records.store import KubernetesStore
from ebbtide.infra.records.ledger import Ledger
from tests.api_server import InMemoryApi, Server, away
from tests.helpers import wait_until

NAME, HERON_1 = RunName("heron"), ClusterId("heron-1")
NOTE = Event(run=NAME, kind=EventKind.NOTE, message="words")
Change = tuple[str, dict[str, Any]]


class WatchedApi(InMemoryApi):
    """With watches that say what a test lets them say."""

    def __init__(self, server: Server, name: str):
        super().__init__(server)
        self.server_name = name
        self.changes: queue.Queue[Change | None] = queue.Queue()
        self.watches: list[Kind] = []

    @property
    def server(self) -> str:
        return self.server_name

    def watch(self, kind: Kind, version: str, **how: Any) -> Iterator[Change]:
        del version
        self.watches.append(kind)
        while not how["hangup"].done:
            try:
                change = self.changes.get(timeout=0.05)
            except queue.Empty:
                continue
            if change is None:
                return
            yield change


class Place:
    """A namespace with one run, seen from here and from elsewhere."""

    def __init__(self, home: Path):
        self.memory, self._home = Server(), home
        self.api = WatchedApi(self.memory, str(home))
        self.elsewhere = KubernetesStore(InMemoryApi(self.memory), Ledger(home))
        self.elsewhere.reserve(Run(name=NAME, spec_json="{}"))
        self.elsewhere.append(NOTE)

    def store(self) -> KubernetesStore:
        return KubernetesStore(self.api, Ledger(self._home), following=True)

    def followed(self) -> KubernetesStore:
        """A store whose run has been read often."""
        store = self.store()
        self.asked()
        wait_until(lambda: not store.run(NAME) or not self.asked(), 5, "reads cost nothing")
        return store

    def asked(self) -> list[str]:
        found = self.memory.methods()
        self.memory.asked.clear()
        return found

    def tell(self) -> None:
        """What the record is now."""
        self.api.changes.put(("MODIFIED", self.memory.things[self.path]))

    path = CONFIG_MAP.path("team", "ebb-run-heron")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    for each in list(following._followed.values()):
        each._end()


def phase(store: KubernetesStore) -> Phase | None:
    run = store.run(NAME)
    return run.phase if run is not None else None


def test_a_run_that_is_read_often_is_read_without_asking(place: Place) -> None:
    store = place.followed()
    for _ in range(100):
        store.run(NAME)
        store.events(NAME)
    assert place.asked() == []


def test_record_and_story_have_one_watch(place: Place) -> None:
    store = place.followed()
    store.events(NAME)
    assert place.api.watches == [CONFIG_MAP]


def test_another_store_of_the_process_shares_it(place: Place) -> None:
    place.followed()
    assert place.store().run(NAME) is not None
    assert place.asked() == []


def test_who_reads_once_has_no_watch(place: Place) -> None:
    place.store().run(NAME)
    assert place.api.watches == []


def test_what_is_written_here_is_read_at_once(place: Place) -> None:
    store = place.followed()
    store.set_phase(NAME, Phase.RUNNING)
    assert phase(place.store()) is Phase.RUNNING
    assert place.asked() == ["PUT"]


def test_what_others_write_comes_by_the_watch(place: Place) -> None:
    store = place.followed()
    place.elsewhere.set_phase(NAME, Phase.RUNNING)
    place.tell()
    wait_until(lambda: phase(store) is Phase.RUNNING, 5, "the watch has told it")


def test_older_news_do_not_undo_what_was_written_here(place: Place) -> None:
    store = place.followed()
    place.tell()
    store.set_phase(NAME, Phase.RUNNING)
    wait_until(place.api.changes.empty, 5, "it has been told")
    assert phase(store) is Phase.RUNNING


def test_a_write_over_what_others_have_written_meanwhile_loses_nothing(place: Place) -> None:
    store = place.followed()
    place.elsewhere.set_attempt(NAME, 2)
    store.set_phase(NAME, Phase.RUNNING)
    run = store.run(NAME)
    assert run is not None
    assert (run.attempt, run.phase) == (2, Phase.RUNNING)


def test_who_knows_that_others_have_written_can_catch_up(place: Place) -> None:
    store = place.followed()
    place.elsewhere.set_phase(NAME, Phase.RUNNING)
    store.catch_up()
    assert [phase(store), phase(store)] == [Phase.RUNNING] * 2


def test_with_the_server_away_reads_go_on_from_what_is_known(place: Place) -> None:
    store = place.followed()
    place.memory.before = away
    assert store.run(NAME) is not None


def test_a_run_that_was_forgotten_here_does_not_come_back(place: Place) -> None:
    store = place.followed()
    store.end_run(NAME, Phase.SUCCEEDED, None, "", 0)
    place.tell()
    assert store.forget_run(NAME)
    wait_until(place.api.changes.empty, 5, "it has been told")
    assert store.run(NAME) is None


def test_a_renewal_is_one_request_and_reading_it_none(place: Place) -> None:
    store = place.store()
    store.add_cluster(HERON_1, NAME, attempt=1, pool="lab", lease_s=30)
    lease = {
        "apiVersion": LEASE.api,
        "kind": LEASE.name,
        "metadata": {"name": HERON_1, "labels": {CLUSTER: HERON_1, ROLE: "cluster"}},
        "spec": {},
    }
    place.api.create(lease)
    place.asked()
    wait_until(lambda: not store.cluster(HERON_1) or not place.asked(), 5, "reads cost nothing")
    assert store.renew(HERON_1), "the first time it is taken"
    place.asked()
    assert store.renew(HERON_1)
    assert place.asked() == ["PATCH"]
    assert store.cluster(HERON_1)
    assert place.asked() == []


def test_the_watch_ends_with_the_last_store(place: Place) -> None:
    store = place.followed()
    store.close()
    assert following._followed == {}


def test_the_watch_ends_when_nobody_reads(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_IDLE_S", 0.1)
    place.followed()
    wait_until(lambda: following._followed == {}, 5, "the watch has ended")
