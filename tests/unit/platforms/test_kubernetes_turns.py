"""The object by which reservations for a pool take turns: it comes when needed, and goes again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.records import Reserved, Run
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.records import runs
from ebbtide.infra.platforms.kubernetes.records.store import KubernetesStore
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.waiting import wall_s
from tests.api_server import InMemoryApi, Server

HERON = Run(name=RunName("heron"), spec_json="{}")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def store(server: Server, tmp_path: Path) -> KubernetesStore:
    return KubernetesStore(InMemoryApi(server), Ledger(tmp_path))


def turns(server: Server) -> dict[str, str]:
    """The pools by the paths."""
    found = server.things.items()
    return {path: thing["data"]["pool"] for path, thing in found if "ebb-turns" in path}


def test_turns_that_nobody_takes_any_more_are_tidied_away_and_young_ones_stay(
    server: Server, store: KubernetesStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.reserve(HERON, pool="small", max_waiting=3)
    store.tidy()
    assert [*turns(server).values()] == ["small"]
    later = wall_s() + 7200
    monkeypatch.setattr(runs, "wall_s", lambda: later)
    store.reserve(replace(HERON, name=RunName("other")), pool="large", max_waiting=3)
    store.tidy()
    assert [*turns(server).values()] == ["large"]


def test_turns_of_a_queue_that_was_always_full_are_tidied_away_too(
    server: Server, store: KubernetesStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.reserve(HERON, pool="small", max_waiting=0) is Reserved.QUEUE_FULL
    later = wall_s() + 7200
    monkeypatch.setattr(runs, "wall_s", lambda: later)
    store.tidy()
    assert turns(server) == {}


def test_turns_that_are_tidied_away_meanwhile_are_taken_anew(
    server: Server, store: KubernetesStore
) -> None:
    def tidied(request: Request) -> None:
        if request.method == "PUT" and "ebb-turns" in request.path:
            server.before = lambda _: None
            del server.things[request.path]
            raise ApiError(404, "NotFound", 'configmaps "ebb-turns" not found')

    server.before = tidied
    assert store.reserve(HERON, pool="small", max_waiting=3) is Reserved.DONE
    assert [*turns(server).values()] == ["small"]
