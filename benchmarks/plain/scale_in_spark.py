"""Spark without decommission: executors get SIGTERM at work. ``scale_in_spark.py LOG TASKS``."""

import contextlib
import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from operator import add

import psutil
import pyspark
from pyspark import StorageLevel
from pyspark.sql import SparkSession

from tests.helpers import wait_until
from tests.load import started, starts


def executors() -> list[int]:
    """Process ids of the executors of this program."""
    found = []
    for process in psutil.Process(os.getpid()).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie counts as one, too
            if "CoarseGrainedExecutorBackend" in " ".join(process.cmdline()):
                found.append(process.pid)
    return found


os.environ["SPARK_HOME"] = os.path.dirname(pyspark.__file__)
os.environ["SPARK_SCALA_VERSION"] = "2.13"  # or its executors do not start from the wheel
log, tasks = sys.argv[1], int(sys.argv[2])
session = SparkSession.builder.master("local-cluster[3,1,1024]").getOrCreate()
context = session.sparkContext
wait_until(lambda: len(executors()) == 3, 120, "three executors came")
stored = context.parallelize(range(12), 12).map(lambda item: bytes([item]) * 5000)
stored.persist(StorageLevel.MEMORY_AND_DISK).count()
items = context.parallelize(range(tasks), tasks)
lengths = items.map(lambda item: (item % 5, len(started(log, item, 0.4))))
with ThreadPoolExecutor(1) as pool:
    shuffled = pool.submit(lambda: lengths.reduceByKey(add, 5).collect())
    wait_until(lambda: sum(starts(log).values()) > tasks // 2, 120, "half of the tasks have run")
    told = time.monotonic()
    gone = executors()[:2]
    for pid in gone:
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not set(gone) & set(executors()), 60, "two have left")
    (cached,) = context._jsc.sc().getRDDStorageInfo()
    seconds, kept = time.monotonic() - told, cached.numCachedPartitions()
    right = sorted(shuffled.result()) == [(key, 1000 * tasks // 5) for key in range(5)]
print(json.dumps({"kept": f"{kept} of 12", "right": right, "seconds": seconds}))
session.stop()
