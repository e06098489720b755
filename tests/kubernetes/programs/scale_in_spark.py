"""Work while workers leave, until one of them is left: ``scale_in_spark.py WORKERS``.

One shuffle after the other, by tasks that use no CPU, beside cached blocks: workers leave in the
middle of a map stage. Tasks tell the driver when they start, so that each start is counted.
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


def executors() -> int:
    return int(context._jsc.sc().getExecutorMemoryStatus().size()) - 1


count = int(sys.argv[1])
context = SparkSession.builder.getOrCreate().sparkContext
here = os.environ["SPARK_LOCAL_HOSTNAME"]
server = socketserver.ThreadingTCPServer((here, 0), Started)
port = server.server_address[1]
threading.Thread(target=server.serve_forever, daemon=True).start()
context.parallelize(range(count), count).barrier().mapPartitions(list).collect()
stored = context.parallelize(range(PARTS), PARTS).map(lambda item: bytes([item]) * 5000)
stored.persist(StorageLevel.MEMORY_AND_DISK).count()
items, right = 0, True
until = time.monotonic() + 240
while executors() > 1 and time.monotonic() < until:
    tasks = KEYS * count
    job = context.parallelize(range(items, items + tasks), tasks)
    sums = job.map(lambda item: started(item, here, port)).reduceByKey(add, KEYS).collect()
    right = right and sorted(sums) == [(key, count) for key in range(KEYS)]
    items += tasks
(cached,) = context._jsc.sc().getRDDStorageInfo()
found = {
    "left": executors() == 1,
    "enough": items >= count,
    "once": starts == collections.Counter(range(items)),
    "results": right,
    "kept": cached.numCachedPartitions() == PARTS,
    "read": stored.collect() == [bytes([item]) * 5000 for item in range(PARTS)],
}
print(json.dumps(found))
