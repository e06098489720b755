"""Work while workers leave and others come: ``replaced_ray.py WORKERS TIMES``.

Every worker always has a task, and keeps large results until the program has them. It ends when so
many workers have left.
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

SIZE = 300_000


class Starts:
    """Which tasks were started."""

    def __init__(self) -> None:
        self.items: list[int] = []

    def add(self, item: int) -> None:
        self.items.append(item)

    def seen(self) -> list[int]:
        return self.items


@ray.remote  # type: ignore[untyped-decorator]
def started(item: int) -> bytes:
    ray.get(starts.add.remote(item))
    Event().wait(2)
    return bytes([item % 256]) * SIZE


def alive() -> set[str]:
    nodes = (node for node in ray.nodes() if node["Alive"])
    return {node["NodeID"] for node in nodes if node["Resources"].get("CPU", 0) > 0}


count, times = map(int, sys.argv[1:])
ray.init(log_to_driver=False)
group = placement_group([{"CPU": 1}] * count, strategy="STRICT_SPREAD")
ray.get(group.ready(), timeout=240)
remove_placement_group(group)
starts: Any = ray.remote(num_cpus=0)(Starts).remote()
print("begun", flush=True)
running: dict[Any, int] = {}
items, right, seen = 0, True, alive()
until = time.monotonic() + 420
while len(seen - alive()) < times and time.monotonic() < until:
    while len(running) < 2 * count:
        running[started.remote(items)] = items
        items += 1
    done, _ = ray.wait(list(running), timeout=0.5)
    for one in done:
        right = ray.get(one) == bytes([running.pop(one) % 256]) * SIZE and right
    seen |= alive()
left = len(seen - alive())
for one, item in running.items():
    right = ray.get(one) == bytes([item % 256]) * SIZE and right
found = {
    "left": left >= times,
    "enough": items > count * times,
    "once": collections.Counter(ray.get(starts.seen.remote())) == collections.Counter(range(items)),
    "results": right,
}
print(json.dumps(found))
