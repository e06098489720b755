"""The built-in job: estimates pi, with a load that makes its cluster grow and shrink once.

It never asks for workers. While there is much to do they are added; when there is little they go,
and what they had cached must still be there at the end.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Iterable, Iterator

from pyspark import RDD, StorageLevel
from pyspark.sql import SparkSession

_SAMPLES = 200_000
_TASKS = 16
_PATIENCE_S = 180.0
_BUSY_AFTER_GROWTH_S = 8.0


def hits(seeds: Iterable[int]) -> Iterator[int]:
    """How many of the samples fall into the quarter circle, for each seed."""
    for seed in seeds:
        draw = random.Random(seed).random
        yield sum(draw() ** 2 + draw() ** 2 <= 1.0 for _ in range(_SAMPLES))


def workers(session: SparkSession) -> int:
    """How many executors there are now, the driver left out."""
    return int(session.sparkContext._jsc.sc().getExecutorMemoryStatus().size()) - 1


def main() -> int:
    """Print the estimate, and whether every result survived the shrink."""
    session = SparkSession.builder.appName("hello").getOrCreate()
    context, tick = session.sparkContext, threading.Event()
    batches: list[RDD[int]] = []
    started, first, grown_at = time.monotonic(), max(1, workers(session)), None
    while time.monotonic() - started < _PATIENCE_S:
        seeds = range(len(batches) * _TASKS, (len(batches) + 1) * _TASKS)
        batch = context.parallelize(seeds, _TASKS).mapPartitions(hits)
        batches.append(batch.persist(StorageLevel.MEMORY_AND_DISK))
        batch.count()
        if grown_at is None and workers(session) > first:
            grown_at = time.monotonic()
            print(f"more workers came: {first} → {workers(session)}")
        if grown_at is not None and time.monotonic() - grown_at > _BUSY_AFTER_GROWTH_S:
            break
    peak, deadline = workers(session), time.monotonic() + _PATIENCE_S
    while workers(session) > 1 and time.monotonic() < deadline:
        peak = max(peak, workers(session))
        tick.wait(0.2)
    print(f"workers left again: {peak} → {workers(session)}")
    storage = context._jsc.sc().getRDDStorageInfo()
    kept, made = sum(info.numCachedPartitions() for info in storage), len(batches) * _TASKS
    print(f"{kept} of {made} results kept")
    samples = made * _SAMPLES
    inside = sum(batch.sum() for batch in batches)
    print(f"pi ≈ {4 * inside / samples:.5f} from {samples / 1e6:.0f} M samples")
    session.stop()
    return 0 if kept == made else 1


if __name__ == "__main__":
    sys.exit(main())
