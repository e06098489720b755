"""Put large arrays into Ray's object store once, let many tasks read them, add up in a tree.

Shows ``ray.put``, tasks that take references, and results that stay in the store: what moves
between processes is a reference, not 16 MB.

    python examples/ray/large_objects.py                    # on this machine
    ebb run --framework ray examples/ray/large_objects.py   # on an autoscaling cluster
"""

import numpy as np
import ray

BLOCKS, SIZE = 8, 2_000_000


@ray.remote
def block(number: int) -> np.ndarray:
    """One array of whole numbers, the same wherever it is made."""
    return np.random.default_rng(number).integers(0, 100, SIZE)


@ray.remote
def weighted(numbers: np.ndarray, weights: np.ndarray) -> int:
    """What one block comes to."""
    return int(numbers @ weights)


@ray.remote
def plus(one: int, other: int) -> int:
    """A node of the tree."""
    return one + other


def main() -> None:
    """Make, weigh, add up; numpy alone checks the answer."""
    weights = np.arange(SIZE) % 7
    shared = ray.put(weights)
    blocks = [block.remote(number) for number in range(BLOCKS)]
    sums = [weighted.remote(numbers, shared) for numbers in blocks]
    while len(sums) > 1:
        sums = [plus.remote(*sums[i : i + 2]) for i in range(0, len(sums), 2)]
    total = ray.get(sums[0])
    made = [np.random.default_rng(number).integers(0, 100, SIZE) for number in range(BLOCKS)]
    assert total == sum(int(numbers @ weights) for numbers in made), "the sums differ"
    print(f"{BLOCKS} blocks of {SIZE * 8 // 1_000_000} MB in the object store")
    print(f"weighted sum {total:,}")
    print("the answer is right")


if __name__ == "__main__":
    ray.init(log_to_driver=False)
    main()
    ray.shutdown()
