"""Ask for workers, keep them waiting, and want what no worker has: ``demand_dask.py``."""

from __future__ import annotations

from threading import Event

from distributed import Client


def rest(seconds: float) -> None:
    """Take a worker's slot and none of its CPU."""
    Event().wait(seconds)


client = Client()
client.wait_for_workers(2)
print("waited", flush=True)
client.gather(client.map(rest, [1.0] * 24, pure=False))
print("slept", flush=True)
client.submit(sum, [1, 2], resources={"GPU": 1}, key="train-0").result()
