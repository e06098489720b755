"""Search for the best parameter of a small model: random tries first, then closer to the best ones.

Shows ``ray.wait``: as soon as a try has ended the next one starts, so no worker waits for the
slowest. The model is a ridge regression on data that everybody makes alike.

    python examples/ray/parameter_search.py                    # on this machine
    ebb run --framework ray examples/ray/parameter_search.py   # on an autoscaling cluster
"""

import math
from random import Random

import numpy as np
import ray

TRIES, AT_ONCE, ROWS, COLUMNS = 40, 4, 300, 60


def data() -> tuple[np.ndarray, np.ndarray]:
    """Rows and what is to be foretold, with noise."""
    random = np.random.default_rng(7)
    rows = random.normal(size=(ROWS, COLUMNS))
    return rows, rows @ random.normal(size=COLUMNS) + random.normal(scale=8.0, size=ROWS)


def error_of(penalty: float) -> float:
    """Mean squared error on the rows that were not learned from."""
    rows, wanted = data()
    learn, test = slice(0, ROWS // 3), slice(ROWS // 3, ROWS)
    squares = rows[learn].T @ rows[learn] + penalty * np.eye(COLUMNS)
    weights = np.linalg.solve(squares, rows[learn].T @ wanted[learn])
    return float(np.mean((rows[test] @ weights - wanted[test]) ** 2))


@ray.remote
def attempt(penalty: float) -> tuple[float, float]:
    """One try."""
    return error_of(penalty), penalty


def search() -> list[tuple[float, float]]:
    """All tries, best first."""
    random, found, running = Random(1), [], []
    for number in range(TRIES):
        if len(running) == AT_ONCE:
            ended, running = ray.wait(running)
            found += ray.get(ended)
        near = min(found)[1] if number > TRIES // 2 else 1.0
        spread = 0.3 if number > TRIES // 2 else 3.0
        running.append(attempt.remote(near * 10 ** random.uniform(-spread, spread)))
    return sorted(found + ray.get(running))


def main() -> None:
    """Search, and compare with what a fine grid finds."""
    found = search()
    error, penalty = found[0]
    grid = min(error_of(10 ** (step / 20)) for step in range(-60, 61))
    assert len(found) == TRIES, "a try was lost"
    assert error <= grid * 1.02, "a grid found a better one"
    assert error < error_of(0.0) * 0.9, "no penalty at all would do as well"
    print(f"{TRIES} tries, {AT_ONCE} at a time")
    print(f"best penalty about {10 ** round(math.log10(penalty)):g}")
    print("the answer is right")


if __name__ == "__main__":
    ray.init(log_to_driver=False)
    main()
    ray.shutdown()
