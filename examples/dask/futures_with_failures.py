"""Ask many stations, some of which fail: futures in the order they end, tried again or written off.

Shows ``client.map``, ``as_completed`` and what a program can do about a task that failed: try again
what may pass (a lost connection), write off what will not (a broken station). The report goes to
``$EBB_OUTPUT_DIR``, which Ebb keeps when the cluster is gone, or to the screen only.

    python examples/dask/futures_with_failures.py     # on this machine, Dask's own local cluster
    ebb run examples/dask/futures_with_failures.py    # on a cluster of its own

Dask's workers log every failure with its traceback: on this machine to the screen, with Ebb to the
run's folder.
"""

import json
import os
from pathlib import Path
from random import Random
from typing import Any

from distributed import Client, as_completed

STATIONS, READINGS, MOST_TRIES = 40, 20_000, 3


def ask(station: int, attempt: int) -> float:
    """The station's mean temperature; every fifth is hard to reach, every eleventh is broken."""
    if station % 11 == 0:
        raise ValueError(f"station {station} answers nonsense")
    if station % 5 == 0 and attempt < MOST_TRIES:
        raise ConnectionError(f"station {station} did not answer")
    random = Random(station)
    return sum(random.gauss(15, 5) for _ in range(READINGS)) / READINGS


def ask_all(client: Client) -> dict[str, Any]:
    """Every station until it has answered or is written off."""
    tries = {client.submit(ask, station, 1): (station, 1) for station in range(1, STATIONS + 1)}
    means: dict[int, float] = {}
    broken: dict[int, str] = {}
    again = 0
    running = as_completed(tries)
    for future in running:
        station, attempt = tries.pop(future)
        error = future.exception()
        if error is None:
            means[station] = future.result()
        elif isinstance(error, ConnectionError) and attempt < MOST_TRIES:
            again += 1
            retry = client.submit(ask, station, attempt + 1)
            tries[retry] = (station, attempt + 1)
            running.add(retry)
        else:
            broken[station] = str(error)
    mean = sum(means.values()) / len(means)
    return {"answered": len(means), "tried_again": again, "broken": broken, "mean": mean}


def main() -> None:
    """Ask, check what came of it, report."""
    report = ask_all(Client())
    assert report["answered"] + len(report["broken"]) == STATIONS, "a station was forgotten"
    assert set(report["broken"]) == {11, 22, 33}, "the wrong ones were written off"
    assert abs(report["mean"] - 15) < 0.1, "these are not the stations' temperatures"
    print(f"{report['answered']} of {STATIONS} answered, {report['tried_again']} tried again")
    print(f"written off: {', '.join(report['broken'].values())}")
    print(f"mean temperature {report['mean']:.2f}")
    if folder := os.environ.get("EBB_OUTPUT_DIR"):
        Path(folder, "report.json").write_text(json.dumps(report, indent=2) + "\n")
        print(f"report.json is in {folder}")


if __name__ == "__main__":
    main()
