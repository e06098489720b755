"""Shuffle a table over the cluster: sort it by a column, join it with another, add up by group.

Shows ``dask.dataframe``: partitions made on the workers, ``set_index`` (every row moves to the
worker that keeps its key), a join of two sorted tables, ``groupby``. The same in plain pandas
checks the answer; amounts are whole cents, so the two must agree to the last one.

    python examples/dask/dataframe_shuffle.py     # on this machine, with Dask's own cluster
    ebb run examples/dask/dataframe_shuffle.py    # on an autoscaling cluster
"""

import dask.dataframe as dd
import numpy as np
import pandas as pd
from distributed import Client

PARTS, ORDERS_A_PART, CUSTOMERS = 8, 50_000, 2_000
REGIONS = ["east", "north", "south", "west"]


def make_orders(part: int) -> pd.DataFrame:
    """One partition: orders of random customers, in the order they came."""
    random = np.random.default_rng(part)
    customer = random.integers(CUSTOMERS, size=ORDERS_A_PART)
    cents = random.integers(100_000, size=ORDERS_A_PART)
    return pd.DataFrame({"customer": customer, "cents": cents})


def make_customers() -> pd.DataFrame:
    """Every customer, with the region they live in."""
    region = np.random.default_rng(seed=99).choice(REGIONS, size=CUSTOMERS)
    return pd.DataFrame({"region": region}, index=pd.RangeIndex(CUSTOMERS, name="customer"))


def in_plain_pandas() -> pd.Series:
    """The right answer, the slow way."""
    orders = pd.concat([make_orders(part) for part in range(PARTS)])
    return orders.join(make_customers(), on="customer").groupby("region")["cents"].sum()


def on_the_cluster(client: Client) -> pd.Series:
    """The same on the workers."""
    orders = dd.from_map(make_orders, range(PARTS))
    by_customer = client.persist(orders.set_index("customer"))
    begins = ", ".join(str(first) for first in by_customer.divisions[:-1])
    print(f"sorted: the partitions begin at customers {begins}")
    customers = dd.from_pandas(make_customers(), npartitions=2)
    return by_customer.join(customers).groupby("region")["cents"].sum().compute()


def main() -> None:
    """Sort, join, add up; check the answer and print it."""
    print(f"{PARTS * ORDERS_A_PART:,} orders of {CUSTOMERS:,} customers in {PARTS} partitions")
    with Client() as client:
        totals = on_the_cluster(client).sort_index()
    assert totals.to_dict() == in_plain_pandas().to_dict(), "cents went missing on the way"
    for region, cents in totals.items():
        print(f"{region:<6}{cents / 100:>16,.2f}")
    print("the answer is right")


if __name__ == "__main__":
    main()
