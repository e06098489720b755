"""A connected Spark session for a process that holds a cluster open."""

from __future__ import annotations

import os

from pyspark.sql import SparkSession


def connect(address: str, environment: dict[str, str]) -> SparkSession:
    """A session on the master at ``address``. Its JVM reads this process's environment."""
    os.environ.update(environment)
    return SparkSession.builder.master(address).getOrCreate()
