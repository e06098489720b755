"""``train.py SHARD CHECK``: a linear model of a shard, with the penalty that checks best.

Each penalty is tried as a task of its own where there is a Dask cluster, else one after another.
Writes ``model.json``: shard, penalty, weights, error (root mean square on the check rows).
"""

from __future__ import annotations

import csv
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

_PENALTIES = (0.0, 0.1, 1.0, 10.0, 100.0, 1000.0)
_STEPS = 60
_RATE = 0.5

Rows = list[tuple[float, float, float]]


def fit(rows: Rows, check: Rows, penalty: float) -> dict[str, Any]:
    """Fit a linear model by gradient descent on the squared error, with a penalty on the slopes.

    Args:
        rows: training data: rows of (x1, x2, y).
        check: rows of the same shape on which the error is measured.
        penalty: weight of the squared slopes; 0 for none.

    Returns:
        ``penalty``, ``weights`` (slopes of x1 and x2, intercept) and ``error`` (root mean square on
        the check rows).
    """
    weights = [0.0, 0.0, 0.0]
    for _ in range(_STEPS):
        slopes = [0.0, 0.0, 0.0]
        for x1, x2, y in rows:
            miss = weights[0] * x1 + weights[1] * x2 + weights[2] - y
            slopes = [slopes[0] + miss * x1, slopes[1] + miss * x2, slopes[2] + miss]
        shrink = (penalty / len(rows), penalty / len(rows), 0.0)
        weights = [
            w - _RATE * (slope / len(rows) + by * w)
            for w, slope, by in zip(weights, slopes, shrink, strict=True)
        ]
    squares = [(weights[0] * x1 + weights[1] * x2 + weights[2] - y) ** 2 for x1, x2, y in check]
    error = (sum(squares) / len(squares)) ** 0.5
    return {"penalty": penalty, "weights": weights, "error": error}


def tries(rows: Rows, check: Rows) -> list[dict[str, Any]]:
    """Fit a model for each penalty, as tasks of a Dask cluster when there is one."""
    if "DASK_SCHEDULER_ADDRESS" not in os.environ:
        return [fit(rows, check, penalty) for penalty in _PENALTIES]
    distributed = importlib.import_module("distributed")
    with distributed.Client() as client:
        # By default equal data have one name: what another program on this cluster lets go of when
        # it ends would be ours too (Dask: "cancelled for reason: lost dependencies").
        data = client.scatter([rows, check], hash=False)
        futures = [client.submit(fit, *data, penalty) for penalty in _PENALTIES]
        return list(client.gather(futures))


def _read(path: str) -> Rows:
    with open(path, newline="") as file:
        return [(float(x1), float(x2), float(y)) for x1, x2, y in csv.reader(file)]


def main(shard: str, check: str) -> None:
    """Write the best of all models to ``model.json``."""
    best = min(tries(_read(shard), _read(check)), key=lambda tried: tried["error"])
    out = Path(os.environ.get("EBB_OUTPUT_DIR", "."))
    (out / "model.json").write_text(json.dumps({"shard": Path(shard).name, **best}))
    print(f"{Path(shard).name}: penalty {best['penalty']:g}, error {best['error']:.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
