"""How programs name a master of their own; prints, for each in argv, the one it has got."""

import sys

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession


def none_at_all() -> SparkContext:
    """First: what the first names stays in the JVM for the others, as it does bare."""
    return SparkSession.builder.getOrCreate().sparkContext


def builder() -> SparkContext:
    return SparkSession.builder.master("local[*]").getOrCreate().sparkContext


def configuration() -> SparkContext:
    return SparkContext(conf=SparkConf().setMaster("local[2]").setAppName("spellings"))


def positional() -> SparkContext:
    return SparkContext("local", "spellings")


if __name__ == "__main__":
    for spelling in sys.argv[1:]:
        context = globals()[spelling]()
        print(context.master, context.parallelize([1, 2], 1).sum(), flush=True)
        context.stop()
