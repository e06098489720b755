"""Reduce an array that lives on the cluster: blocks of random numbers, two roads to one answer.

Shows ``dask.array`` (blocks made where they are used, kept in the workers' memory by ``persist``,
reduced in a tree) and a program that checks its own answer.

    python examples/dask/array_reduction.py       # on this machine, with Dask's own local cluster
    ebb run examples/dask/array_reduction.py      # on a cluster of its own
"""

import math

import dask
import dask.array as da
from distributed import Client

SIDE, BLOCK = 4_000, 500
VARIANCE = 1 / 12  # of numbers drawn evenly from 0 to 1


def main() -> None:
    """Make the array, reduce it, check the answer and print it."""
    client = Client()
    numbers = da.random.default_rng(seed=7).random((SIDE, SIDE), chunks=(BLOCK, BLOCK))
    numbers = client.persist(numbers)
    print(f"{numbers.npartitions} blocks, {numbers.nbytes / 1e6:.0f} MB on the workers")

    mean = numbers.mean()
    two_passes = ((numbers - mean) ** 2).mean()
    one_pass = (numbers**2).mean() - mean**2
    column_means = numbers.mean(axis=0)
    mean, two_passes, one_pass, column_means = dask.compute(
        mean, two_passes, one_pass, column_means
    )

    assert math.isclose(two_passes, one_pass, rel_tol=1e-9), "two roads, two answers"
    assert math.isclose(mean, column_means.mean(), rel_tol=1e-9), "blocks went missing"
    assert math.isclose(two_passes, VARIANCE, rel_tol=1e-2), "these numbers are not even"
    print(f"mean {mean:.4f} of 0.5, variance {two_passes:.4f} of {VARIANCE:.4f}")
    print(f"column means from {column_means.min():.3f} to {column_means.max():.3f}")
    print("the answer is right")


if __name__ == "__main__":
    main()
