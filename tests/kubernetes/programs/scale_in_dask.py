"""Work while workers leave, until one of them is left: ``scale_in_dask.py WORKERS``."""

from __future__ import annotations

import collections
import json
import sys
import time
from threading import Event
from typing import Any

from distributed import Client, get_worker


class Total:
    """State of one worker."""

    value = 0

    def add(self, amount: int) -> int:
        self.value += amount
        return self.value


def started(item: int) -> bytes:
    get_worker().log_event("starts", item)
    Event().wait(3)
    return bytes([item % 256]) * 1000


count = int(sys.argv[1])
with Client() as client:

    def workers() -> set[str]:
        return set(client.scheduler_info(n_workers=-1)["workers"])

    client.wait_for_workers(count, timeout=240)
    first = workers()
    actor = client.submit(Total, actor=True).result()
    actor.add(5).result()
    scattered = client.scatter([bytes([i]) * 5000 for i in range(12)])
    futures: list[Any] = []
    until = time.monotonic() + 240
    while len(first & workers()) > 1 and time.monotonic() < until:
        if sum(not future.done() for future in futures) < 2 * count:
            futures += client.map(started, [len(futures)], pure=False)
        Event().wait(0.1)
    left = len(first & workers())
    results = client.gather(futures)
    starts = collections.Counter(item for _, item in client.get_events("starts"))
    found = {
        "left": left == 1,
        "enough": len(futures) >= count,
        "once": starts == collections.Counter(range(len(futures))),
        "results": results == [bytes([i % 256]) * 1000 for i in range(len(futures))],
        "scattered": client.gather(scattered) == [bytes([i]) * 5000 for i in range(12)],
        "actor": actor.add(1).result() == 6,
    }
    print(json.dumps(found))
