"""Shrinking loses nothing: real workers, and the policy picks who leaves.

Load brings the workers; tasks that only sleep then use no CPU, so that the autoscaler lets workers
go while there is work on them. Starts are counted in a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import pandas as pd
import pytest
from distributed import Client, wait

from ebbtide.infra.frameworks.base import load_framework
from tests.clusters import QUICK, Stand, cluster_spec, run_spec, standing
from tests.helpers import wait_until
from tests.load import Total, burn, started, starts

WORKERS = 4


def grow(client: Client, stand: Stand, workers: int) -> None:
    """Burn CPU until the autoscaler has brought so many workers."""

    def enough() -> bool:
        wait(client.map(burn, [0.5] * 2 * WORKERS, pure=False))
        return len(client.scheduler_info(n_workers=-1)["workers"]) >= workers

    wait_until(enough, 120, f"{workers} workers came")
    assert stand.observe().workers_wanted >= workers


def shrunk(client: Client) -> None:
    wait_until(lambda: workers_of(client) == 1, 120, "all but one worker left")


def workers_of(client: Client) -> int:
    return len(client.scheduler_info(n_workers=-1)["workers"])


@pytest.fixture
def stand(ebb_home: Path) -> Iterator[Stand]:
    policy = replace(QUICK, target_cpu_percent=80)
    with standing(ebb_home, run_spec("drain", cluster_spec(policy=policy))) as found:
        yield found


@pytest.fixture
def client(stand: Stand) -> Iterator[Client]:
    framework = load_framework("dask")
    found: Client = framework.client(stand.view.head_address, stand.view.driver_env)
    with found:
        grow(found, stand, WORKERS)
        yield found


def test_every_task_starts_once_and_every_result_is_kept_when_several_leave(
    client: Client, stand: Stand, tmp_path: Path
) -> None:
    log, count = tmp_path / "starts", 60
    scattered = client.scatter([bytes([i]) * 5000 for i in range(20)])
    futures = client.map(started, [str(log)] * count, range(count), [0.4] * count, pure=False)
    shrunk(client)
    wait(futures)
    assert [len(result) for result in client.gather(futures)] == [1000] * count
    assert client.gather(scattered) == [bytes([i]) * 5000 for i in range(20)]
    assert starts(log) == Counter({str(item): 1 for item in range(count)})
    assert len(stand.messages("left")) >= WORKERS - 1


def test_finished_results_move_to_those_that_stay(client: Client, tmp_path: Path) -> None:
    log, count = tmp_path / "starts", 40
    futures = client.map(started, [str(log)] * count, range(count), [0.0] * count, pure=False)
    wait(futures)
    shrunk(client)
    kept = client.gather(futures)
    assert kept == [bytes([item % 256]) * 1000 for item in range(count)]
    assert sum(starts(log).values()) == count


def test_shuffle_survives_a_shrink(client: Client, stand: Stand, tmp_path: Path) -> None:
    log, partitions = tmp_path / "starts", 12

    def part(number: int) -> pd.DataFrame:
        started(str(log), number, 0.3)
        return pd.DataFrame({"key": range(100), "value": [number] * 100})

    def slowly(part: pd.DataFrame) -> pd.DataFrame:
        started(str(log), partitions, 0.3)
        return part

    frame = dd.from_map(part, range(partitions), meta={"key": int, "value": int})
    shuffled = frame.shuffle("key", npartitions=partitions).map_partitions(slowly, meta=frame)
    future = client.compute(shuffled.groupby("key").value.sum())
    shrunk(client)
    result = future.result(timeout=120)
    assert (result == sum(range(partitions))).all()
    counts = starts(log)
    assert counts.pop(str(partitions)) == partitions  # how often slowly ran
    assert counts == Counter({str(number): 1 for number in range(partitions)})
    assert len(stand.messages("left")) >= WORKERS - 1


def test_worker_that_holds_an_actor_stays_and_the_reason_is_told(
    client: Client, stand: Stand
) -> None:
    actors: list[Any] = [client.submit(Total, actor=True, pure=False).result() for _ in range(2)]
    assert [actor.add(5).result() for actor in actors] == [5, 5]
    wait_until(lambda: stand.messages("note"), 120, "somebody stays and the reason is told")
    assert any("it holds an actor" in words for words in stand.messages("note"))
    assert [actor.add(1).result() for actor in actors] == [6, 6]


def test_idlest_workers_leave_first(client: Client, tmp_path: Path) -> None:
    """One worker is busy for long; the others leave at once and it is not asked to."""
    busy = client.submit(started, str(tmp_path / "starts"), 0, 15.0)
    wait_until(lambda: starts(tmp_path / "starts"), 60, "the long task runs")
    shrunk(client)
    assert busy.status == "pending"
    assert [list(keys) for keys in client.processing().values()] == [[busy.key]]
    busy.result()
    assert starts(tmp_path / "starts") == Counter({"0": 1})
