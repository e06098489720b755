"""Grow by load, then work and shuffle while workers leave: ``drain_ray.py LOG TASKS``.

The second half of the tasks runs one after another: Ray's busy workers are not asked to leave.
Prints one JSON object: whether what was stored is kept and the shuffle's sums are right.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import ray

from tests.helpers import wait_until
from tests.load import burn, started

WORKERS, KEYS, PARTS = 3, 5, 12


def workers() -> int:
    return sum(node["Alive"] and node["Resources"].get("CPU", 0) > 0 for node in ray.nodes())


def grown() -> bool:
    ray.get([ray.remote(burn).remote(0.5) for _ in range(2 * WORKERS)])
    return workers() >= WORKERS


@ray.remote  # type: ignore[untyped-decorator]
def split(item: int) -> tuple[int, int]:
    return item % KEYS, len(started(log, item, 0.4))


@ray.remote  # type: ignore[untyped-decorator]
def total(key: int, *pairs: tuple[int, int]) -> int:
    return sum(length for own, length in pairs if own == key)


def one_by_one(items: range) -> Iterator[ray.ObjectRef]:
    for item in items:
        pair = split.remote(item)
        ray.wait([pair])
        yield pair


log, tasks = sys.argv[1], int(sys.argv[2])
ray.init(log_to_driver=False)
wait_until(grown, 240, f"{WORKERS} workers came")
stored = [ray.put(bytes([item]) * 500_000) for item in range(PARTS)]
pairs = [split.remote(item) for item in range(tasks // 2)]
pairs += one_by_one(range(tasks // 2, tasks))
sums = [total.remote(key, *pairs) for key in range(KEYS)]
wait_until(lambda: workers() == 1, 240, "all but one worker left")
kept = ray.get(stored) == [bytes([item]) * 500_000 for item in range(PARTS)]
right = ray.get(sums) == [1000 * tasks // KEYS] * KEYS
print(json.dumps({"kept": kept, "right": right}))
