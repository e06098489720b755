"""Prints, as JSON, what head, worker and program have of the user's configuration of Dask."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

import dask
from dask.distributed import Client

KEYS = (
    "distributed.scheduler.allowed-failures",
    "distributed.scheduler.worker-saturation",
    "distributed.worker.memory.target",
    "distributed.worker.memory.spill",
)
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def configured(dask_scheduler: Any = None) -> dict[str, Any]:
    del dask_scheduler
    found = {key.split(".", 1)[1]: dask.config.get(key) for key in KEYS}
    return {**found, **{name: os.environ.get(name) for name in VARIABLES}}


if __name__ == "__main__":
    client = Client()
    client.wait_for_workers(2)
    threading.Event().wait(3)  # longer than what was left behind lets anybody live
    print(
        json.dumps(
            {
                "driver": configured(),
                "worker": client.submit(configured).result(),
                "head": client.run_on_scheduler(configured),
                "workers": sorted(info["name"] for info in client.cluster.workers.values()),
                "hashes": sorted(set(client.run(hash, "a word").values())),
            }
        )
    )
