"""The program with which the pipelines train, several of them at once on one cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster

from ebbtide.flows.programs.train import tries

ROWS = [(0.1, 0.9, 0.2), (0.5, 0.5, 1.0)]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    alone = {"processes": False, "protocol": "tcp", "host": "127.0.0.1", "dashboard_address": ":0"}
    with LocalCluster(n_workers=1, **alone) as found:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", found.scheduler_address)
        with dask.config.set({"scheduler-address": found.scheduler_address}):
            yield


@pytest.mark.usefixtures("cluster")
def test_none_holds_the_data_of_another_that_may_end_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[set[str]] = []
    scatter = Client.scatter

    def noted(client: Client, *args: Any, **how: Any) -> Any:
        futures = scatter(client, *args, **how)
        held.append({future.key for future in futures})
        return futures

    monkeypatch.setattr(Client, "scatter", noted)
    first, second = tries(ROWS, ROWS), tries(ROWS, ROWS)
    assert first == second
    assert held[0].isdisjoint(held[1])
