"""Two stores as one: each run where it was reserved, and what is shown while one is away."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.errors import ProvisioningError
from ebbtide.infra.files.place import KubernetesPlace, remember_place, remembered_place
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.models.records import Event, EventKind, Reserved, Run
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.routed import place
from ebbtide.infra.records.routed.store import RoutedStore, away_from, local_half
from ebbtide.infra.records.runs import free_name
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings

HERE = Run(name=RunName("here"), spec_json=json.dumps({"platform": "local"}))
THERE = Run(name=RunName("there"), spec_json=json.dumps({"platform": "far"}))


class Away(Ledger):
    """A store elsewhere that may not answer."""

    away = False

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if name in ("row", "rows", "write") and self.away:
            raise ProvisioningError(Reason.API_UNREACHABLE, detail="connection refused")
        return found


class Far:
    """The other store, which may not be in use."""

    platform = "far"

    def __init__(self, store: RunStore, *, used: bool):
        self.store, self.in_use, self.opened = store, used, 0

    def used(self) -> bool:
        return self.in_use

    def open(self) -> RunStore:
        self.opened += 1
        return self.store

    def remember(self, store: RunStore) -> None:
        self.in_use = store is self.store


class World:
    """A machine and a place elsewhere."""

    def __init__(self, folder: Path):
        self.local, self.far = Ledger(folder / "home"), Away(folder / "far")
        self.other = Far(self.far, used=True)
        self._names = folder / "home" / "elsewhere"

    def open(self) -> RoutedStore:
        return RoutedStore(self.local, self.other, self._names)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.local.close()
    made.far.close()


@pytest.fixture
def store(world: World) -> RoutedStore:
    """With a run in each store, and their clusters."""
    store = world.open()
    for run in (HERE, THERE):
        assert store.reserve(run) is Reserved.DONE
        cluster = ClusterId(f"{run.name}-1")
        store.add_cluster(cluster, run.name, attempt=1, pool="pool", lease_s=5)
    return store


def test_each_run_is_where_its_platform_is(world: World, store: RoutedStore) -> None:
    assert world.local.run_names() == world.local.run_names("here") == ["here"]
    assert world.far.run_names() == ["there"]
    assert world.far.clusters_of() == ["there-1"]
    store.set_phase(THERE.name, Phase.RUNNING)
    store.append(Event(run=THERE.name, kind=EventKind.NOTE, message="words"))
    assert world.far.runs()[0].phase is Phase.RUNNING
    assert store.events(THERE.name) == world.far.events(THERE.name) != []


def test_lists_have_the_runs_of_both(store: RoutedStore) -> None:
    assert [run.name for run in store.runs()] == ["here", "there"]
    assert [cluster.id for cluster in store.living_clusters()] == ["here-1", "there-1"]
    assert sorted(store.clusters_of()) == ["here-1", "there-1"]


def test_while_the_other_is_away_there_is_the_local_half_and_a_sentence(
    world: World, store: RoutedStore
) -> None:
    world.far.away = True
    assert [run.name for run in store.runs()] == ["here"]
    assert store.unreachable.startswith("runs of platform far are not shown: ")
    assert "connection refused" in store.unreachable
    assert (away_from(store), away_from(world.local)) == ("far", "")


def test_it_is_asked_again_after_a_while(
    world: World, store: RoutedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.far.away = True
    store.runs()
    world.far.away = False
    assert len(store.runs()) == 1
    monkeypatch.setattr(place, "now_s", lambda: 1e12)
    assert len(store.runs()) == 2
    assert store.unreachable == ""


@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.run(THERE.name),
        lambda store: store.set_phase(THERE.name, Phase.RUNNING),
        lambda store: store.end_run(THERE.name, Phase.FAILED, None, "", 1),
        lambda store: store.renew(ClusterId("there-1")),
    ],
)
def test_what_is_about_one_run_there_fails_while_it_is_away(
    world: World, store: RoutedStore, act: Callable[[RoutedStore], object]
) -> None:
    world.far.away = True
    with pytest.raises(ProvisioningError):
        act(store)


def test_local_runs_go_on_while_the_other_is_away(world: World, store: RoutedStore) -> None:
    world.far.away = True
    assert store.reserve(replace(HERE, name=RunName("egret"))) is Reserved.DONE
    assert store.renew(ClusterId("here-1"))
    assert store.end_run(HERE.name, Phase.SUCCEEDED, None, "", 0)
    assert store.run_of("nothing") is None


def test_a_name_that_was_reserved_there_is_not_given_away_here(
    world: World, store: RoutedStore
) -> None:
    assert store.reserve(replace(HERE, name=THERE.name)) is Reserved.NAME_TAKEN
    assert store.reserve(replace(THERE, name=HERE.name)) is Reserved.NAME_TAKEN
    store.end_run(THERE.name, Phase.SUCCEEDED, None, "", 0)
    world.far.mark_released(ClusterId("there-1"), by="test")
    assert world.far.forget_run(THERE.name), "by somebody else"
    assert store.reserve(replace(HERE, name=THERE.name)) is Reserved.DONE


def test_only_runs_that_were_reserved_from_here_are_ours_to_prune(
    world: World, store: RoutedStore
) -> None:
    world.far.reserve(replace(THERE, name=RunName("of-others")))
    for run in ("there", "of-others"):
        world.far.end_run(RunName(run), Phase.SUCCEEDED, None, "", 0)
    world.far.mark_released(ClusterId("there-1"), by="test")
    assert [run.name for run in store.runs_over()] == ["there"]
    assert store.forget_run(THERE.name)
    assert store.runs_over() == []


def test_work_that_may_be_done_elsewhere_is_not_begun_again(world: World) -> None:
    """A flow is tried again while the API server is away, and it comes back in between."""
    job = replace(THERE, key="flow/train")
    world.open().reserve(job)
    store = world.open()
    world.far.away = True
    assert store.run_of("flow/train") is None
    world.far.away = False
    with pytest.raises(ProvisioningError, match="run there does this job"):
        store.reserve(replace(job, name=RunName("again")))


def test_the_latest_run_of_a_key_may_be_in_either(world: World, store: RoutedStore) -> None:
    store.reserve(replace(HERE, name=RunName("old"), key="job", created=1.0))
    store.reserve(replace(THERE, name=RunName("new"), key="job", created=2.0))
    found = store.run_of("job")
    assert found is not None
    assert found.name == "new"
    assert sorted(store.runs_of("job")) == ["new", "old"]


def test_while_nobody_uses_another_store_all_is_local(world: World) -> None:
    world.other.in_use = False
    store = world.open()
    store.reserve(HERE)
    store.run(RunName("nobody"))
    assert [run.name for run in store.runs()] == ["here"]
    assert not world.far.path.exists()


def test_who_asks_for_a_run_there_uses_it_from_then_on(world: World) -> None:
    world.other.in_use = False
    assert world.open().reserve(THERE) is Reserved.DONE
    assert world.other.in_use


def test_what_is_here_is_found_without_the_other_store(world: World) -> None:
    world.open().reserve(HERE)
    store = world.open()
    store.run(HERE.name)
    store.set_phase(HERE.name, Phase.RUNNING)
    assert world.other.opened == 0


def test_a_name_is_free_in_both_also_while_one_is_away(world: World, store: RoutedStore) -> None:
    world.far.away = True
    assert free_name(store, THERE.name) == "there-2"


def test_version_changes_with_either(
    world: World, store: RoutedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.version()
    Ledger(world.local.path.parent).set_attempt(HERE.name, 2)
    after_here = store.version()
    assert after_here != before
    Ledger(world.far.path.parent).set_attempt(THERE.name, 2)
    monkeypatch.setattr("ebbtide.infra.records.routed.store.now_s", lambda: 1e12)
    assert store.version() != after_here


def test_the_local_half_is_for_who_needs_nothing_else(world: World, store: RoutedStore) -> None:
    assert local_half(store) is world.local
    assert local_half(world.local) is world.local
    assert local_half(None) is None


def test_kubernetes_that_cannot_be_reached_is_said_where_runs_are_listed(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, context="nowhere", kubeconfig=str(tmp_path / "none"))
    store = open_store(settings)
    assert store.reserve(HERE) is Reserved.DONE
    assert [run.name for run in store.runs()] == ["here"]
    assert "no way to a Kubernetes cluster" in store.unreachable


def test_place_that_is_remembered_is_asked(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    store = open_store(settings)
    assert store.runs() == []
    assert store.unreachable == ""
    gone = KubernetesPlace(context="gone", kubeconfig=str(tmp_path / "none"))
    remember_place(settings, gone)
    assert store.runs() == []
    assert store.unreachable != ""
    assert remembered_place(settings) == gone


def test_looking_at_local_runs_does_not_import_the_kubernetes_client(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from ebbtide.infra.records.opening import open_to_look;"
        "from ebbtide.infra.settings import Settings;"
        "open_to_look(Settings(home=Path(sys.argv[1]))).runs();"
        "sys.exit('kubernetes' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == 0
