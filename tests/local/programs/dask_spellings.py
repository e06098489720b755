"""The ways in which Dask's public tutorials and examples get a cluster, in words of our own.

``dask_spellings.py NAME…`` prints for each, as a line of JSON, what was computed and where.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import dask
from dask.distributed import Client, LocalCluster

Found = tuple[Any, str]


def square(number: int) -> int:
    return number * number


def used(client: Client) -> Found:
    return sum(client.gather(client.map(square, range(10)))), client.scheduler.address


def made_with(**words: Any) -> Callable[[], Found]:
    """A client that makes its cluster from these."""

    def spelled() -> Found:
        with Client(**words) as client:
            return used(client)

    return spelled


def closed_and_made_again() -> Found:
    Client(n_workers=2).close()
    client = Client(threads_per_worker=1)
    try:
        return used(client)
    finally:
        client.shutdown()


def scaled() -> Found:
    with Client(n_workers=1, threads_per_worker=4) as client:
        client.cluster.scale(2)
        client.cluster.adapt(minimum=1, maximum=20)
        shown = [repr(client.cluster), client.cluster._repr_html_(), client._repr_html_()]
        assert all(shown)
        assert client.cluster.dashboard_link.startswith("http")
        assert client.cluster.scheduler_info["workers"]
        assert client.cluster.get_logs(workers=False)
        assert len(client.cluster.workers) >= 1
        return used(client)


def awaited() -> Found:
    async def main() -> Found:
        client = await Client(asynchronous=True, processes=False)
        try:
            return await computed(client)
        finally:
            await client.close()

    return asyncio.run(main())


def async_with() -> Found:
    async def main() -> Found:
        async with Client(asynchronous=True) as client:
            await client.wait_for_workers(1)
            return await computed(client)

    return asyncio.run(main())


async def computed(client: Client) -> Found:
    return sum(await client.gather(client.map(square, range(10)))), client.scheduler.address


def local_cluster() -> Found:
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=False)
    client = Client(cluster)
    found = used(client)
    client.close()
    cluster.close()
    return found


def local_cluster_with() -> Found:
    with LocalCluster(processes=False, dashboard_address=None) as cluster:  # noqa: SIM117
        with Client(cluster) as client:
            return used(client)


def its_client() -> Found:
    with LocalCluster(processes=False, n_workers=1) as cluster, cluster.get_client() as client:
        return used(client)


def square_and_where(number: int) -> tuple[int, int]:
    return square(number), os.getpid()


def computed_in(scheduler: str | None) -> Callable[[], Found]:
    """Without a client: a scheduler of Dask's own, by name or not."""

    def spelled() -> Found:
        with dask.config.set(scheduler=scheduler):
            pairs = dask.compute(*[dask.delayed(square_and_where)(n) for n in range(10)])
        here = {pid for _, pid in pairs} == {os.getpid()}
        return sum(value for value, _ in pairs), "here" if here else "elsewhere"

    return spelled


def other_address() -> Found:
    try:
        with Client("127.0.0.1:9", timeout="1s") as client:
            return used(client)
    except OSError:
        return None, "nowhere"


SPELLINGS: dict[str, Callable[[], Found]] = {
    "plain": made_with(),
    "n_workers": made_with(n_workers=4),
    "workers-threads": made_with(n_workers=2, threads_per_worker=2, memory_limit="1GB"),
    "in-process": made_with(processes=False, n_workers=1, threads_per_worker=4),
    "processes": made_with(n_workers=1, threads_per_worker=4, processes=True, memory_limit="2GB"),
    "dashboard": made_with(dashboard_address=":0", silence_logs=40, local_directory="scratch"),
    "again": closed_and_made_again,
    "scaled": scaled,
    "awaited": awaited,
    "async-with": async_with,
}
"""What cannot be had beside a given cluster."""

OWN: dict[str, Callable[[], Found]] = {
    "local-cluster": local_cluster,
    "local-cluster-with": local_cluster_with,
    "its-client": its_client,
    "without-client": computed_in(None),
    "threads": computed_in("threads"),
}
"""What can be had, and goes past the run's cluster."""

OTHERS: dict[str, Callable[[], Found]] = {
    "debugged": computed_in("sync"),
    "other-address": other_address,
}
"""What is not the run's with ``--bridge`` either, and what has nothing to connect to without."""


if __name__ == "__main__":
    for name in sys.argv[1:]:
        value, where = {**SPELLINGS, **OWN, **OTHERS}[name]()
        print(json.dumps({"name": name, "value": value, "where": where}), flush=True)
