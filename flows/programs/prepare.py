"""``prepare.py DAY SHARDS ROWS``: measurements of a day in shards, and some kept for checking.

Writes ``shard-0.csv`` … and ``check.csv`` (columns x1, x2, y) and says in ``prepared.json`` where.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path
from random import Random

_CHECK_ROWS = 500


def main(day: str, shards: int, rows: int) -> None:
    """Write the shards of a day and a table to check models by. The same day makes the same data.

    Args:
        day: seeds the random numbers, such as ``2026-01-31``.
        shards: number of files ``shard-N.csv``.
        rows: number of rows in each shard.
    """
    out = Path(os.environ.get("EBB_OUTPUT_DIR", "."))
    random = Random(day)
    check = _write(out / "check.csv", _CHECK_ROWS, random)
    paths = [_write(out / f"shard-{number}.csv", rows, random) for number in range(shards)]
    prepared = {"day": day, "rows": rows, "check": str(check), "shards": [str(p) for p in paths]}
    (out / "prepared.json").write_text(json.dumps(prepared))
    print(f"{shards} shards of {rows} rows for {day}")


def _write(path: Path, rows: int, random: Random) -> Path:
    """Write one table. Each has a noise of its own, so that their models differ."""
    noise = random.uniform(0.05, 0.5)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        for _ in range(rows):
            x1, x2 = random.uniform(-1, 1), random.uniform(-1, 1)
            table.writerow((x1, x2, 3 * x1 - 2 * x2 + 0.5 + random.gauss(0, noise)))
    return path


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
