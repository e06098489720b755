"""Modules of clients that come when a Dask cluster is there already."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Client, LocalCluster

from ebbtide.infra.frameworks.dask import modules
from ebbtide.infra.frameworks.dask.modules import Users, import_from
from ebbtide.infra.frameworks.plan import TaskModules, task_modules_of

MINE, OTHER = "ebb_test_mine", "ebb_test_other"


@pytest.fixture(autouse=True)
def _own_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(modules, "_numbers", {})
    yield
    for name in (MINE, OTHER):
        sys.modules.pop(name, None)


def package(folder: Path, name: str, **content: int) -> TaskModules:
    (folder / name).mkdir()
    for module, value in content.items():
        (folder / name / f"{module}.py").write_text(f"VALUE = {value}\n")
    return TaskModules(name=name, argv=(sys.executable, "-c", ""), folders=(str(folder / name),))


def value(name: str) -> int:
    found: int = importlib.import_module(name).VALUE
    return found


def test_the_last_to_come_has_its_own_module_of_a_name_and_others_stay(tmp_path: Path) -> None:
    import_from(package(tmp_path, "first", **{MINE: 1, OTHER: 10}), 1)
    assert (value(MINE), value(OTHER)) == (1, 10)
    kept = sys.modules[OTHER]
    import_from(package(tmp_path, "second", **{MINE: 2}), 2)
    assert (value(MINE), value(OTHER)) == (2, 10)
    assert sys.modules[OTHER] is kept


def test_a_worker_that_joins_later_imports_in_the_same_order(tmp_path: Path) -> None:
    import_from(package(tmp_path, "second", **{MINE: 2}), 2)
    import_from(package(tmp_path, "first", **{MINE: 1}), 1)
    assert value(MINE) == 2


def test_what_is_installed_is_not_loaded_again(tmp_path: Path) -> None:
    loaded = sys.modules["json"]
    import_from(package(tmp_path, "first", json=1), 1)
    assert sys.modules["json"] is loaded


def test_a_package_is_fetched_where_it_is_to_be_and_why_it_is_not_is_told(tmp_path: Path) -> None:
    there = package(tmp_path, "first", **{MINE: 1})
    asyncio.run(modules.bring(there, 1))
    assert value(MINE) == 1
    argv = (sys.executable, "-c", "raise SystemExit('nobody answers')")
    gone = TaskModules(name="gone", argv=argv, folders=())
    with pytest.raises(OSError, match="nobody answers"):
        asyncio.run(modules.bring(gone, 1))


def test_a_process_is_told_its_package_by_its_environment(tmp_path: Path) -> None:
    told = package(tmp_path, "first")
    assert task_modules_of(told.variables) == told
    assert task_modules_of({}) is None


class Scheduler:
    """What is used of Dask's."""

    def __init__(self) -> None:
        self.worker_plugins: dict[str, bytes] = {}
        self.plugins: dict[str, Any] = {}
        self.again: list[Any] = []
        self._ongoing_background_tasks = SimpleNamespace(
            call_soon=lambda *how: self.again.append(how[1:])
        )

    def add_plugin(self, plugin: Any, name: str) -> None:
        self.plugins[name] = plugin

    async def register_worker_plugin(
        self, _: None, plugin: bytes, name: str, *, idempotent: bool
    ) -> dict[str, dict[str, str]]:
        assert not idempotent
        self.worker_plugins[name] = plugin
        failed = {"status": "error", "exception_text": "OSError('no room')"}
        return {"tls://a": {"status": "OK"}, "tls://b": failed}


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler()


def use(scheduler: Scheduler, client: str, which: TaskModules) -> list[str]:
    return asyncio.run(modules.use(client, which, scheduler))


def test_workers_that_join_get_a_package_for_as_long_as_a_client_uses_it(
    scheduler: Scheduler, tmp_path: Path
) -> None:
    first, second = package(tmp_path, "first"), package(tmp_path, "second")
    assert use(scheduler, "a", first) == ["tls://b: OSError('no room')"]
    use(scheduler, "b", first)
    use(scheduler, "c", second)
    users: Users = scheduler.plugins[modules.NAME]
    users.remove_client(scheduler, "a")
    assert sorted(scheduler.worker_plugins) == ["ebb-modules-first", "ebb-modules-second"]
    users.remove_client(scheduler, "b")
    users.remove_client(scheduler, "unknown")
    assert sorted(scheduler.worker_plugins) == ["ebb-modules-second"]


def test_after_the_last_to_come_the_client_before_has_its_own_again(
    scheduler: Scheduler, tmp_path: Path
) -> None:
    session = package(tmp_path, "session")
    use(scheduler, "session", session)
    use(scheduler, "program", package(tmp_path, "program"))
    scheduler.plugins[modules.NAME].remove_client(scheduler, "program")
    assert scheduler.again == [("session", session)]


def test_a_client_that_comes_back_after_a_lost_connection_has_its_package(
    scheduler: Scheduler, tmp_path: Path
) -> None:
    first = package(tmp_path, "first")
    use(scheduler, "a", first)
    users: Users = scheduler.plugins[modules.NAME]
    users.remove_client(scheduler, "a")
    users.add_client(scheduler, "a")
    users.add_client(scheduler, "b")
    assert scheduler.again == [("a", first)]


def test_a_client_whose_package_cannot_be_brought_works_on_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(modules, "say", said.append)

    async def refuses(*_: Any) -> None:
        raise OSError("nobody answers")

    client = SimpleNamespace(id="a", _run_on_scheduler=refuses)
    asyncio.run(modules.tell(client, {}))
    assert said == []
    asyncio.run(modules.tell(client, package(tmp_path, "first").variables))
    assert ["nobody answers" in line for line in said] == [True]


def test_workers_of_a_real_scheduler_import_what_came_after_them_and_before(tmp_path: Path) -> None:
    told = package(tmp_path, "first", **{MINE: 7})
    alone = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": ":0"}
    with LocalCluster(n_workers=1, **alone) as cluster, Client(cluster) as client:
        client.sync(modules.tell, client, told.variables)
        cluster.scale(2)
        client.wait_for_workers(2, timeout=60)
        read = partial(_read, MINE)
        assert list(client.run(read).values()) == [(7, [*told.folders])] * 2


def _read(name: str) -> tuple[int, list[str]]:
    """What a module says, and which folders the worker was told of: it may inherit ``sys.path``."""
    return value(name), [*modules._numbers]
