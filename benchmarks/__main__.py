"""All benchmarks by one command: ``python -m benchmarks``.

It measures, and writes one file a benchmark (``benchmarks/results/NAME.json``), from which
``--tables`` makes the tables of README and documentation. It wants a machine that does nothing
else; the files say how busy it was. ``--compare`` writes nothing: it runs a few rounds, and fails
when a start takes longer than the README says.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from benchmarks import compare, tables
from benchmarks.results import COMMITTED, Results, load

USUAL = ("start_up", "prefect_overhead", "scale_in")
ALL = (*USUAL, "kubernetes_start_up")
"""The last one needs a Kubernetes: it is measured when it is named."""
_ROUNDS = 5


def main() -> int:
    """Measure, make tables or compare."""
    options = _parser().parse_args()
    if options.tables:
        changed = tables.write(options.results)
        print(f"written: {', '.join(changed)}" if changed else "all tables are as the results say")
        return 0
    if options.compare:
        return compare.compare(options.rounds or compare.ROUNDS, options.framework)
    names = options.only.split(",") if options.only else USUAL
    unknown = [name for name in names if name not in ALL]
    if unknown:
        raise SystemExit(f"no benchmark {', '.join(unknown)}; there are {', '.join(ALL)}")
    for name in names:
        measure(name, options)
    return 0


def measure(name: str, options: argparse.Namespace) -> None:
    """Measure the parts that are asked for, and write each down as soon as it is there."""
    module = importlib.import_module(f"benchmarks.{name}")
    more = {"cold": not options.without_cold} if name == "start_up" else {}
    for part in module.PARTS:
        if options.framework and part not in options.framework and len(module.PARTS) > 1:
            continue
        rounds = options.rounds or module.ROUNDS.get(part, _ROUNDS)
        print(f"{name} {part}: {rounds} rounds", flush=True)
        made = module.part(part, rounds, **more)
        results = load(name, options.results) or Results(name)
        results.parts[part] = made
        print(f"  {results.save(options.results)}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", help=f"some of {', '.join(ALL)}, with commas")
    parser.add_argument("--framework", action="append", choices=("none", "dask", "ray", "spark"))
    parser.add_argument("--rounds", type=int, help="of each; by default what the tables have")
    parser.add_argument(
        "--without-cold", action="store_true", help="of start_up: no server starts in a round"
    )
    parser.add_argument("--results", type=Path, default=COMMITTED, help="the folder of the files")
    parser.add_argument("--tables", action="store_true", help="write README's and docs' tables")
    parser.add_argument("--compare", action="store_true", help="check the README's ratios")
    return parser


if __name__ == "__main__":
    sys.exit(main())
