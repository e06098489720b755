"""Grow by load, then keep data, work and shuffle while workers leave: ``drain_spark.py LOG TASKS``.

Prints one JSON object: whether what was cached is kept and the shuffle's sums are right.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from operator import add

from pyspark import StorageLevel
from pyspark.sql import SparkSession

from tests.helpers import wait_until
from tests.load import burn, started

WORKERS, KEYS, PARTS = 3, 5, 12


def workers() -> int:
    return int(context._jsc.sc().getExecutorMemoryStatus().size()) - 1


def grown() -> bool:
    context.parallelize(range(2 * WORKERS), 2 * WORKERS).foreach(lambda _: burn(0.5))
    return workers() >= WORKERS


def sums() -> list[tuple[int, int]]:
    items = context.parallelize(range(tasks), tasks)
    lengths = items.map(lambda item: (item % KEYS, len(started(log, item, 0.4))))
    return list(lengths.reduceByKey(add, KEYS).collect())


log, tasks = sys.argv[1], int(sys.argv[2])
session = SparkSession.builder.getOrCreate()
context = session.sparkContext
wait_until(grown, 240, f"{WORKERS} workers came")
stored = context.parallelize(range(PARTS), PARTS).map(lambda item: bytes([item]) * 5000)
stored.persist(StorageLevel.MEMORY_AND_DISK).count()
with ThreadPoolExecutor(1) as pool:
    shuffled = pool.submit(sums)
    wait_until(lambda: workers() == 1, 240, "all but one worker left")
    right = sorted(shuffled.result()) == [(key, 1000 * tasks // KEYS) for key in range(KEYS)]
(cached,) = context._jsc.sc().getRDDStorageInfo()
kept = cached.numCachedPartitions() == PARTS
kept = kept and stored.collect() == [bytes([item]) * 5000 for item in range(PARTS)]
print(json.dumps({"kept": kept, "right": right}))
session.stop()
