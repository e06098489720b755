"""Work while workers leave and others come: ``replaced_spark.py WORKERS TIMES``.

One shuffle after the other, beside cached blocks, and large enough that every worker always has a
task. It ends when so many workers have left, which is looked at several times a second: some are
there only for a while. Tasks tell the driver when they start.
"""

from __future__ import annotations

import collections
import json
import os
import socket
import socketserver
import sys
import threading
import time
from operator import add

from pyspark import StorageLevel
from pyspark.sql import SparkSession

KEYS, PARTS = 3, 8
starts: collections.Counter[int] = collections.Counter()


class Started(socketserver.StreamRequestHandler):
    """One task that starts."""

    def handle(self) -> None:
        starts[int(self.rfile.readline())] += 1


def started(item: int, host: str, port: int) -> tuple[int, int]:
    with socket.create_connection((host, port), 30) as told:
        told.sendall(f"{item}\n".encode())
    threading.Event().wait(3)
    return item % KEYS, 1


def executors() -> set[str]:
    """Where they are; the driver is one of them."""
    return {info.host() for info in context._jsc.sc().statusTracker().getExecutorInfos()} - {here}


def watch() -> None:
    while not ended.wait(0.2):
        seen.update(executors())


count, times = map(int, sys.argv[1:])
context = SparkSession.builder.getOrCreate().sparkContext
here = os.environ["SPARK_LOCAL_HOSTNAME"]
server = socketserver.ThreadingTCPServer((here, 0), Started)
port = server.server_address[1]
threading.Thread(target=server.serve_forever, daemon=True).start()
context.parallelize(range(count), count).barrier().mapPartitions(list).collect()
stored = context.parallelize(range(PARTS), PARTS).map(lambda item: bytes([item]) * 5000)
stored.persist(StorageLevel.MEMORY_AND_DISK).count()
print("begun", flush=True)
items, right = 0, True
seen, ended = executors(), threading.Event()
threading.Thread(target=watch, daemon=True).start()
until = time.monotonic() + 420
while len(seen - executors()) < times and time.monotonic() < until:
    tasks = KEYS * count
    job = context.parallelize(range(items, items + tasks), tasks)
    sums = job.map(lambda item: started(item, here, port)).reduceByKey(add, KEYS).collect()
    right = right and sorted(sums) == [(key, count) for key in range(KEYS)]
    items += tasks
ended.set()
(cached,) = context._jsc.sc().getRDDStorageInfo()
found = {
    "left": len(seen - executors()) >= times,
    "enough": items > count * times,
    "once": starts == collections.Counter(range(items)),
    "results": right,
    "kept": cached.numCachedPartitions() == PARTS,
    "read": stored.collect() == [bytes([item]) * 5000 for item in range(PARTS)],
}
print(json.dumps(found))
