"""Shuffle a table over the cluster: sort it by a column, join it with another, add up by group.

Shows ``dask.dataframe``: partitions made on the workers, ``set_index`` (every row moves to the
worker that keeps its key), a join of two sorted tables, ``groupby``. The same in plain pandas
checks the answer; amounts are whole cents, so the two must agree to the last one.

    python examples/dask/dataframe_shuffle.py     # on this machine, with Dask's own local cluster
    ebb run examples/dask/dataframe_shuffle.py    # on a cluster of its own
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
    return pd.DataFrame({"customer": customer, "cents": random.integers(100_000, size=len(customer))})


def make_customers() -> pd.DataFrame:
    """Every customer, with the region they live in."""
    region = np.random.default_rng(seed=99).choice(REGIONS, size=CUSTOMERS)
    return pd.DataFrame({"region": region}, index=pd.RangeIndex(CUSTOMERS, name="customer"))


def in_plain_pandas() -> pd.Series:
    """The right answer, the slow way."""
    orders = pd.concat([make_orders(part) for part in range(PARTS)])
    return orders.join(make_customers(), on="customer").groupby("region")["cents"].sum()


def main() -> None:
    """Sort, join, add up; check the answer and print it."""
    client = Client()
    print(f"{PARTS * ORDERS_A_PART} orders of {CUSTOMERS} customers in {PARTS} partitions")
    orders = dd.from_map(make_orders, range(PARTS))
    by_customer = client.persist(orders.set_index("customer"))
    print(f"sorted by customer: partitions begin at {list(by_customer.divisions[:-1])}")

    customers = dd.from_pandas(make_customers(), npartitions=2)
    totals = by_customer.join(customers).groupby("region")["cents"].sum().compute()

    pd.testing.assert_series_equal(totals.sort_index(), in_plain_pandas(), check_index_type=False)
    for region, cents in totals.sort_index().items():
        print(f"{region:<6}{cents / 100:>16,.2f}")
    print("the answer is right")


if __name__ == "__main__":
    main()
