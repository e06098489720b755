"""Dask's own way: ``LocalCluster.scale`` while there is work. ``scale_in_dask.py LOG TASKS``."""

import json
import sys
import time

from distributed import Client, LocalCluster

from tests.helpers import wait_until
from tests.load import started, starts

if __name__ == "__main__":
    log, tasks = sys.argv[1], int(sys.argv[2])
    with LocalCluster(n_workers=3, threads_per_worker=1) as cluster, Client(cluster) as client:
        stored = client.scatter([bytes([item]) * 5000 for item in range(20)])
        futures = client.map(started, [log] * tasks, range(tasks), [0.4] * tasks, pure=False)
        wait_until(lambda: starts(log), 60, "tasks run")
        told = time.monotonic()
        cluster.scale(1)
        wait_until(lambda: len(client.scheduler_info()["workers"]) == 1, 120, "two have left")
        seconds = time.monotonic() - told
        right = [len(result) for result in client.gather(futures)] == [1000] * tasks
        kept = sum(future.status == "finished" for future in stored)
    print(json.dumps({"kept": f"{kept} of 20", "right": right, "seconds": seconds}))
