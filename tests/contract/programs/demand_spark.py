"""Run a barrier stage, keep executors waiting, and want more at once than there can be."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

from pyspark import BarrierTaskContext
from pyspark.sql import SparkSession

context = SparkSession.builder.getOrCreate().sparkContext


def meet(items: Iterator[int]) -> Iterator[int]:
    task = BarrierTaskContext.get()
    assert task is not None
    task.barrier()
    yield from items


def together(count: int) -> list[int]:
    found: list[int] = (
        context.parallelize(range(count), count).barrier().mapPartitions(meet).collect()
    )
    return found


together(2)
print("waited", flush=True)
context.parallelize([1.0] * 24, 24).foreach(lambda seconds: Event().wait(seconds))
print("slept", flush=True)
together(9)
