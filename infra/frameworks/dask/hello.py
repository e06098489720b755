"""The built-in job: estimates pi, with a load that makes its cluster grow and shrink once.

It never asks for workers. While there is much to do they are added; when there is little they go,
and the results they kept must still be there at the end.
"""

from __future__ import annotations

import random
import sys
import threading
import time

from distributed import Client, Future, wait

_SAMPLES = 400_000
_IN_FLIGHT = 16
_PATIENCE_S = 90.0
_BUSY_AFTER_GROWTH_S = 4.0


def hits(seed: int) -> int:
    """How many of the samples fall into the quarter circle."""
    draw = random.Random(seed).random
    return sum(draw() ** 2 + draw() ** 2 <= 1.0 for _ in range(_SAMPLES))


def workers(client: Client) -> int:
    """How many workers there are now."""
    return len(client.scheduler_info(n_workers=-1)["workers"])


def work_until_grown(client: Client) -> list[Future]:
    """Keep the cluster busy until it has had more workers for some seconds."""
    futures: list[Future] = []
    started = time.monotonic()
    first, grown_at = workers(client), None
    while time.monotonic() - started < _PATIENCE_S:
        seeds = range(len(futures), len(futures) + _IN_FLIGHT)
        batch = client.map(hits, seeds, pure=False)
        wait(batch)
        futures += batch
        if grown_at is None and workers(client) > first:
            grown_at = time.monotonic()
            print(f"more workers came: {first} → {workers(client)}")
        if grown_at is not None and time.monotonic() - grown_at > _BUSY_AFTER_GROWTH_S:
            break
    return futures


def rest_until_shrunk(client: Client) -> int:
    """Do nothing until workers have left."""
    peak, tick, deadline = workers(client), threading.Event(), time.monotonic() + _PATIENCE_S
    while workers(client) > 1 and time.monotonic() < deadline:
        peak = max(peak, workers(client))
        tick.wait(0.2)
    return peak


def main() -> int:
    """Print the estimate, and whether every result survived the shrink."""
    client = Client()
    futures = work_until_grown(client)
    peak = rest_until_shrunk(client)
    left = workers(client)
    print(f"workers left again: {peak} → {left}")
    kept = [future for future in futures if future.status == "finished"]
    samples = len(futures) * _SAMPLES
    print(f"{len(kept)} of {len(futures)} results kept")
    print(
        f"pi ≈ {4 * sum(client.gather(futures)) / samples:.5f} from {samples / 1e6:.0f} M samples"
    )
    return 0 if len(kept) == len(futures) else 1


if __name__ == "__main__":
    sys.exit(main())
