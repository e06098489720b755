"""What a client asks of a real cluster, as its head tells it, until the client asks no more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.frameworks.base import FrameworkStatus, load_framework
from ebbtide.infra.frameworks.heads import published
from ebbtide.infra.models.demand import Demand, Unit
from ebbtide.infra.platforms.local.layout import Layout
from ebbtide.infra.settings import Settings
from tests.clusters import Stand, run_spec, standing
from tests.contract.conftest import small
from tests.helpers import wait_until

Ask = Callable[[], FrameworkStatus]


@pytest.fixture(scope="module")
def stand(home_of_module: Path) -> Iterator[Stand]:
    with standing(home_of_module, run_spec("asks", small("dask", 3)), autoscale=False) as found:
        yield found


@pytest.fixture
def client(stand: Stand) -> Iterator[Any]:
    dask = load_framework("dask")
    with dask.client(stand.view.head_address, stand.view.driver_env) as connected:
        yield connected


@pytest.fixture
def ask(stand: Stand) -> Ask:
    layout = Layout(Settings(stand.home).cluster_folder(stand.view.cluster))
    head = published(layout.head_file, layout.secrets)
    assert head is not None

    def asked() -> FrameworkStatus:
        status = partial(load_framework("dask").status, head, {})
        found = wait_until(status, 30, "the head answers")
        assert found is not None
        return found

    return asked


def of_workers(kind: str, count: int) -> tuple[Demand, ...]:
    return (Demand(kind=kind, units=(Unit(needs={}, count=count),), apart=True),)


def test_workers_are_asked_for_as_long_as_they_are_waited_for(client: Any, ask: Ask) -> None:
    waiting = threading.Thread(target=wait_in_vain, args=(client,))
    waiting.start()
    wait_until(lambda: ask().demand.floor == of_workers("wait_for_workers", 3), 30, "it is heard")
    waiting.join()
    wait_until(lambda: ask().demand.floor == (), 30, "it is withdrawn")


def wait_in_vain(client: Any) -> None:
    with pytest.raises(TimeoutError):
        client.wait_for_workers(3, timeout=3)


def test_scale_asks_within_the_runs_bounds_until_it_asks_for_less(
    client: Any, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    client.cluster.scale(20)
    wait_until(lambda: ask().demand.floor == of_workers("cluster.scale", 3), 30, "it is heard")
    client.cluster.scale(0)
    wait_until(lambda: ask().demand.floor == (), 30, "it is withdrawn")
    said = "ebb: cluster.scale(20): this run may have 3 workers; --workers 1..20 allows more\n"
    assert capsys.readouterr().err == said


def test_adapt_asks_for_its_minimum_until_the_client_leaves(client: Any, ask: Ask) -> None:
    client.cluster.adapt(minimum=2, maximum=3).stop()
    wait_until(lambda: ask().demand.floor == of_workers("cluster.adapt", 2), 30, "it is heard")
    client.close()
    wait_until(lambda: ask().demand.floor == (), 30, "it is withdrawn")


def test_what_no_worker_offers_is_told_and_is_no_backlog(client: Any, ask: Ask) -> None:
    finished = ask().finished
    assert finished is not None
    client.submit(sum, [1, 2], key="sum-0").result()
    future = client.submit(max, [1, 2], resources={"GPU": 1}, key="max-0")
    needs_gpu = (Demand(kind="task", units=(Unit(needs={"GPU": 1.0}),), label="max"),)
    wait_until(lambda: ask().demand.waiting == needs_gpu, 30, "it waits")
    assert (ask().finished, ask().demand.backlog_tasks) == (finished + 1, 0)
    future.cancel()
