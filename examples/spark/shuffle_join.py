"""Write two tables as Parquet files, join them over a shuffle and add up; pandas checks the answer.

Shows files that executors write and read (on this machine: a folder they all see), a join in which
every row moves to the worker that keeps its key, and ``groupBy``.

    python examples/spark/shuffle_join.py                      # on this machine
    ebb run --framework spark examples/spark/shuffle_join.py   # on an autoscaling cluster
"""

import tempfile
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sql

ORDERS, CUSTOMERS, REGIONS = 200_000, 1_000, ("north", "east", "south", "west")


def write_tables(session: SparkSession, folder: Path) -> None:
    """Orders of customers, and customers of regions; the same each time."""
    order = session.range(ORDERS).select(
        ((sql.col("id") * 7919) % CUSTOMERS).alias("customer"),
        ((sql.col("id") * 104_729) % 10_000).alias("cents"),
    )
    order.repartition(8).write.parquet(str(folder / "orders"))
    names = sql.array([sql.lit(region) for region in REGIONS])
    customers = session.range(CUSTOMERS).select(
        sql.col("id").alias("customer"), names[(sql.col("id") % 4).cast("int")].alias("region")
    )
    customers.write.parquet(str(folder / "customers"))


def by_region(session: SparkSession, folder: Path) -> DataFrame:
    """Cents of each region. A hint keeps Spark from sending the small table to everybody."""
    orders = session.read.parquet(str(folder / "orders"))
    customers = session.read.parquet(str(folder / "customers"))
    joined = orders.join(customers.hint("shuffle_hash"), "customer")
    return joined.groupBy("region").agg(sql.sum("cents").alias("cents"))


def main() -> None:
    """Write, join, compare."""
    session = SparkSession.builder.getOrCreate()
    with tempfile.TemporaryDirectory() as name:
        write_tables(session, Path(name))
        found = {row.region: row.cents for row in by_region(session, Path(name)).collect()}
    expected = dict.fromkeys(REGIONS, 0)
    for number in range(ORDERS):
        expected[REGIONS[number * 7919 % CUSTOMERS % 4]] += number * 104_729 % 10_000
    assert found == expected, "the sums differ"
    print(f"{ORDERS:,} orders of {CUSTOMERS:,} customers joined")
    for region in sorted(found):
        print(f"{region:<6} {found[region] / 100:>14,.2f}")
    print("the answer is right")
    session.stop()


if __name__ == "__main__":
    main()
