"""Dask's quick-starts, in words of our own, as somebody types them on a laptop: a line for each."""

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.distributed import Client, as_completed


def square(number: int) -> int:
    return number * number


def negative(number: int) -> int:
    return -number


def futures(client: Client) -> object:
    squares = client.map(square, range(10))
    total = client.submit(sum, client.map(negative, squares))
    found = sorted(future.result() for future in as_completed(squares))
    return total.result(), found


def frames(_: Client) -> object:
    index = pd.date_range("2026-01-01", periods=2400, freq="1h")
    rows = pd.DataFrame({"a": np.arange(2400), "b": list("abcaddbe" * 300)}, index=index)
    frame = dd.from_pandas(rows, npartitions=10)
    sums = frame["2026-02-01":"2026-02-09 5:00"].a.cumsum() - 100
    by_letter = frame.groupby("b").a.sum().compute().sort_index()
    shuffled = frame.set_index("a").loc[17:19].b.compute()
    return float(frame.a.mean().compute()), int(sums.compute().iloc[-1]), *by_letter, *shuffled


def arrays(_: Client) -> object:
    array = da.from_array(np.arange(100_000).reshape(200, 500), chunks=(100, 100))
    product = array.T @ array
    return float(array.mean().compute()), int(array[:50, 200].sum().compute()), product.shape


def bags(_: Client) -> object:
    bag = db.from_sequence([1, 2, 3, 4, 5, 6, 2, 1], npartitions=2)
    odd = bag.filter(lambda number: number % 2)
    return sorted(odd.compute()), sorted(bag.frequencies().compute())


def delayed(_: Client) -> object:
    parts = [dask.delayed(square)(number) for number in range(5)]
    return dask.delayed(sum)(parts).compute()


def kept(client: Client) -> object:
    rows = client.persist(da.ones((1000, 1000), chunks=(250, 250)))
    return float(rows.sum().compute()), float(rows.std().compute())


if __name__ == "__main__":
    with Client() as made:
        for example in (futures, frames, arrays, bags, delayed, kept):
            print(example.__name__, example(made), flush=True)
