"""Grow by load, then keep data, work and shuffle while workers leave: ``drain_dask.py LOG TASKS``.

Prints one JSON object: whether what was stored is kept and the shuffle's sums are right.
"""

from __future__ import annotations

import json
import sys

import dask.dataframe as dd
import pandas as pd
from distributed import Client, wait

from tests.helpers import wait_until
from tests.load import at_work, burn, started

WORKERS, PARTS = 3, 6


def workers() -> int:
    return len(client.scheduler_info(n_workers=-1)["workers"])


def grown() -> bool:
    wait(client.map(burn, [0.5] * 2 * WORKERS, pure=False))
    return workers() >= WORKERS


def part(number: int) -> pd.DataFrame:
    at_work(0.2)
    return pd.DataFrame({"key": range(50), "value": [number] * 50})


log, tasks = sys.argv[1], int(sys.argv[2])
client = Client()
wait_until(grown, 120, f"{WORKERS} workers came")
stored = client.scatter([bytes([item]) * 5000 for item in range(20)])
futures = client.map(started, [log] * tasks, range(tasks), [0.4] * tasks, pure=False)
frame = dd.from_map(part, range(PARTS), meta={"key": int, "value": int})
sums = client.compute(frame.shuffle("key", npartitions=PARTS).groupby("key").value.sum())
wait_until(lambda: workers() == 1, 120, "all but one worker left")
kept = client.gather(stored) == [bytes([item]) * 5000 for item in range(20)]
kept = kept and [len(result) for result in client.gather(futures)] == [1000] * tasks
right = bool((sums.result(timeout=120) == sum(range(PARTS))).all())
print(json.dumps({"kept": kept, "right": right}))
client.close()
