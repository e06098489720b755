"""The built-in job: estimates pi, with a load that makes its cluster grow and shrink once.

It never asks for workers. While there is much to do they are added; when there is little they go,
and the results they made must still be there at the end.
"""

from __future__ import annotations

import random
import sys
import threading
import time

import ray

_SAMPLES = 400_000
_IN_FLIGHT = 16
_PATIENCE_S = 180.0
_BUSY_AFTER_GROWTH_S = 6.0


@ray.remote
def hits(seed: int) -> int:
    """How many of the samples fall into the quarter circle."""
    draw = random.Random(seed).random
    return sum(draw() ** 2 + draw() ** 2 <= 1.0 for _ in range(_SAMPLES))


def workers() -> int:
    """How many nodes run tasks now."""
    return sum(node["Alive"] and node["Resources"].get("CPU", 0) > 0 for node in ray.nodes())


def main() -> int:
    """Print the estimate, and whether every result survived the shrink."""
    ray.init(log_to_driver=False)
    results: list[ray.ObjectRef] = []
    started, tick = time.monotonic(), threading.Event()
    first, grown_at = workers(), None
    while time.monotonic() - started < _PATIENCE_S:
        batch = [hits.remote(len(results) + i) for i in range(_IN_FLIGHT)]
        ray.wait(batch, num_returns=len(batch))
        results += batch
        if grown_at is None and workers() > first:
            grown_at = time.monotonic()
            print(f"more workers came: {first} → {workers()}")
        if grown_at is not None and time.monotonic() - grown_at > _BUSY_AFTER_GROWTH_S:
            break
    peak, deadline = workers(), time.monotonic() + _PATIENCE_S
    while workers() > 1 and time.monotonic() < deadline:
        peak = max(peak, workers())
        tick.wait(0.2)
    print(f"workers left again: {peak} → {workers()}")
    kept, lost = ray.wait(results, num_returns=len(results), timeout=1)
    print(f"{len(kept)} of {len(results)} results kept")
    samples = len(results) * _SAMPLES
    print(f"pi ≈ {4 * sum(ray.get(results)) / samples:.5f} from {samples / 1e6:.0f} M samples")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
