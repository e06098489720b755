"""Reduce an array that lives on the cluster: blocks of random numbers, two roads to one answer.

Shows ``dask.array`` (blocks made where they are used, kept in the workers' memory by ``persist``,
reduced in a tree) and a program that checks its own answer.

    python examples/dask/array_reduction.py     # on this machine, with Dask's own cluster
    ebb run examples/dask/array_reduction.py    # on an autoscaling cluster
"""

import math

import dask
import dask.array as da
from distributed import Client

SIDE, BLOCK = 4_000, 500
VARIANCE = 1 / 12  # of numbers drawn evenly from 0 to 1


def reduce(client: Client) -> tuple[float, float, float, float]:
    """Mean and variance of all numbers, each by two roads."""
    numbers = da.random.default_rng(seed=7).random((SIDE, SIDE), chunks=(BLOCK, BLOCK))
    numbers = client.persist(numbers)
    print(f"{numbers.npartitions} blocks, {numbers.nbytes / 1e6:.0f} MB on the workers")
    mean = numbers.mean()
    mean_of_columns = numbers.mean(axis=0).mean()
    variance = ((numbers - mean) ** 2).mean()
    variance_in_one_pass = (numbers**2).mean() - mean**2
    return dask.compute(mean, mean_of_columns, variance, variance_in_one_pass)


def main() -> None:
    """Reduce; check the answer and print it."""
    with Client() as client:
        mean, mean_of_columns, variance, variance_in_one_pass = reduce(client)
    assert math.isclose(mean, mean_of_columns, rel_tol=1e-9), "a column went missing"
    assert math.isclose(variance, variance_in_one_pass, rel_tol=1e-9), "two roads, two answers"
    assert math.isclose(variance, VARIANCE, rel_tol=1e-2), "these numbers are not even"
    print(f"mean {mean:.4f} (drawn evenly: 0.5000), variance {variance:.4f} ({VARIANCE:.4f})")
    print("the answer is right")


if __name__ == "__main__":
    main()
