"""Work while workers leave, until one of them is left: ``scale_in_ray.py WORKERS``.

All workers are busy at first, and keep large results. Then one task follows the other, so that the
rest are idle now and then, which is when Ray's may be asked to leave; one of them may just have got
the next task. The one with the actor stays.
"""

from __future__ import annotations

import collections
import json
import sys
import time
from threading import Event
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group


class Starts:
    """Which tasks were started."""

    def __init__(self) -> None:
        self.items: list[int] = []

    def add(self, item: int) -> None:
        self.items.append(item)

    def seen(self) -> list[int]:
        return self.items


class Total:
    """State of one worker."""

    def __init__(self) -> None:
        self.value = 0

    def add(self, amount: int) -> int:
        self.value += amount
        return self.value


@ray.remote  # type: ignore[untyped-decorator]
def started(item: int, size: int, seconds: float) -> bytes:
    ray.get(starts.add.remote(item))
    Event().wait(seconds)
    return bytes([item % 256]) * size


def workers() -> int:
    return sum(node["Alive"] and node["Resources"].get("CPU", 0) > 0 for node in ray.nodes())


def right(results: list[bytes], first: int, size: int) -> bool:
    wanted = [bytes([item % 256]) * size for item in range(first, first + len(results))]
    return results == wanted


count = int(sys.argv[1])
ray.init(log_to_driver=False)
group = placement_group([{"CPU": 1}] * count, strategy="STRICT_SPREAD")
ray.get(group.ready(), timeout=240)
remove_placement_group(group)
starts: Any = ray.remote(num_cpus=0)(Starts).remote()
total: Any = ray.remote(Total).remote()
ray.get(total.add.remote(5))
large = [started.remote(item, 300_000, 3.0) for item in range(2 * count)]
ray.wait(large, num_returns=len(large), fetch_local=False)
kept = right(ray.get(large), 0, 300_000)
items = len(large)
del large
small: list[bytes] = []
until = time.monotonic() + 240
while workers() > 1 and time.monotonic() < until:
    small.append(ray.get(started.remote(items, 1000, 1.0)))
    items += 1
    Event().wait(2.0)  # a worker that is never idle cannot be asked to leave
found = {
    "left": workers() == 1,
    "enough": len(small) >= count,
    "once": collections.Counter(ray.get(starts.seen.remote())) == collections.Counter(range(items)),
    "results": right(small, 2 * count, 1000),
    "kept": kept,
    "actor": ray.get(total.add.remote(1)) == 6,
}
print(json.dumps(found))
