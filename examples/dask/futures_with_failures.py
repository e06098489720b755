"""Ask many stations, some of which fail: futures in the order they end, tried again or written off.

Shows ``submit``, ``as_completed`` and what a program can do about a task that failed: try again
what may pass (a lost connection), write off what will not (a broken station). The report goes to
``$EBB_OUTPUT_DIR``, which Ebb keeps when the cluster is gone; without it, to the screen only.

    python examples/dask/futures_with_failures.py     # on this machine, with Dask's own cluster
    ebb run examples/dask/futures_with_failures.py    # on an autoscaling cluster

Dask's workers log every failure with its traceback: on this machine to the screen, with Ebb to the
run's folder.
"""

import json
import math
import os
from pathlib import Path
from random import Random
from typing import Any

from distributed import Client, as_completed

STATIONS, READINGS, MOST_TRIES = 40, 20_000, 3


def ask(station: int, attempt: int) -> float:
    """The station's mean temperature; every tenth is hard to reach, every eleventh is broken."""
    if station % 11 == 0:
        raise ValueError(f"station {station} answers nonsense")
    if station % 10 == 0 and attempt == 1:
        raise ConnectionError(f"station {station} did not answer")
    random = Random(station)
    return sum(random.gauss(15, 5) for _ in range(READINGS)) / READINGS


def ask_all(client: Client) -> dict[str, Any]:
    """Every station until it has answered or is written off."""
    asked = {client.submit(ask, station, 1): (station, 1) for station in range(1, STATIONS + 1)}
    means: dict[int, float] = {}
    written_off: dict[int, str] = {}
    again: list[int] = []
    answers = as_completed(asked)
    for future in answers:
        station, attempt = asked.pop(future)
        error = future.exception()
        if error is None:
            means[station] = future.result()
        elif isinstance(error, ConnectionError) and attempt < MOST_TRIES:
            again.append(station)
            retry = client.submit(ask, station, attempt + 1)
            asked[retry] = (station, attempt + 1)
            answers.add(retry)
        else:
            written_off[station] = str(error)
    mean = sum(means.values()) / len(means)
    return {"answered": len(means), "again": again, "written_off": written_off, "mean": mean}


def main() -> None:
    """Ask, check what came of it, report."""
    with Client() as client:
        report = ask_all(client)
    assert set(report["written_off"]) == {11, 22, 33}, "the wrong ones were written off"
    assert set(report["again"]) == {10, 20, 30, 40}, "the wrong ones were asked again"
    assert report["answered"] == STATIONS - 3, "a station was forgotten"
    assert math.isclose(report["mean"], 15, abs_tol=0.1), "these are no temperatures"
    print(f"{report['answered']} of {STATIONS} answered, {len(report['again'])} of them late")
    print(f"written off: {', '.join(report['written_off'].values())}")
    print(f"mean temperature {report['mean']:.2f}")
    if folder := os.environ.get("EBB_OUTPUT_DIR"):
        Path(folder, "report.json").write_text(json.dumps(report, indent=2) + "\n")
        print("written: report.json")


if __name__ == "__main__":
    main()
