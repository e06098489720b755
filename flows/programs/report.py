"""``report.py DAY MODEL...``: the best of several models; writes ``report.json``, ``report.md``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main(day: str, paths: list[str]) -> None:
    """Write a report on the models, the one with the smallest error first."""
    models = sorted(
        (json.loads(Path(path).read_text()) for path in paths), key=lambda m: m["error"]
    )
    out = Path(os.environ.get("EBB_OUTPUT_DIR", "."))
    best = models[0]
    (out / "report.json").write_text(json.dumps({"day": day, "best": best, "models": len(models)}))
    lines = [f"# Models of {day}", "", "| shard | penalty | error |", "|---|---|---|"]
    lines += [f"| {m['shard']} | {m['penalty']:g} | {m['error']:.4f} |" for m in models]
    (out / "report.md").write_text("\n".join(lines) + "\n")
    print(f"best of {len(models)}: {best['shard']} with an error of {best['error']:.4f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
