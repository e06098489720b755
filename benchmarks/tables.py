"""The tables of README and documentation, made from the result files.

A table stands between ``<!-- benchmark: NAME -->`` and ``<!-- /benchmark -->``. One whose benchmark
has no result file stays as it is. Does not belong here: what is measured, and how.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.results import Part, Results, load

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/guarantees.md", "docs/kubernetes.md")
REGION = re.compile(
    r"(?P<begin><!-- benchmark: (?P<name>[a-z_ ]+) -->)(?P<text>.*?)(?P<end><!-- /benchmark -->)",
    re.DOTALL,
)
TITLES = {"dask": "Dask", "ray": "Ray", "spark": "Spark", "none": "none"}
_BARE = {
    "dask": "a plain `LocalCluster` script",
    "ray": "`ray.init()`",
    "spark": "`SparkSession` on `local-cluster`",
}
_PREFECT = {
    "steps": "the seven steps without Prefect",
    "plain": "a Prefect flow of seven empty tasks",
    "flow": "`run-job`, as a Prefect worker runs it",
    "ebb": "`ebb run`, running server",
    "plain-cold": "Prefect's own server started for the flow of empty tasks",
    "ebb-cold": "`ebb run`, server not running",
}
_PLAIN_SHRINK = {
    "dask": "`LocalCluster.scale`",
    "ray": "node removed",
    "spark": "SIGTERM to executors",
}


def write(folder: Path, root: Path = ROOT) -> list[str]:
    """Write all tables for which a folder has results. Returns the pages that have changed."""
    changed = []
    for page in PAGES:
        before = (root / page).read_text(encoding="utf-8")
        after = with_tables(before, folder)
        if after != before:
            (root / page).write_text(after, encoding="utf-8")
            changed.append(page)
    return changed


def with_tables(text: str, folder: Path) -> str:
    """Return a page's text with the tables that a folder's results give."""

    def filled(found: re.Match[str]) -> str:
        benchmark, write = TABLES[found["name"]]
        results = load(benchmark, folder)
        inside = found["text"] if results is None else write(results)
        return f"{found['begin']}{inside}{found['end']}"

    return REGION.sub(filled, text)


def ratios(results: Results) -> dict[str, float]:
    """Return how many times as long ``ebb run`` takes to the first line, by framework."""
    return {
        name: median(part, "warm", "first_line_s") / median(part, "bare", "first_line_s")
        for name, part in _in_order(results.parts)
    }


def median(part: Part, kind: str, key: str) -> float:
    """Return the median of one figure of all rounds that have it."""
    return float(statistics.median(_figures(part, kind, key)))


def _figures(part: Part, kind: str, key: str) -> list[Any]:
    found = (sample[key] for sample in part.samples[kind])
    return [figure for figure in found if figure is not None]


def start_up_ratios(results: Results) -> str:
    """For the middle of a sentence."""
    return ", ".join(f"{TITLES[name]} {ratio:.2f}" for name, ratio in ratios(results).items())


def start_up(results: Results) -> str:
    """Of each framework one row without Ebb, and one with it."""
    rows = [["from the command", "to the program's first line", "ratio", "to the prompt"]]
    for name, part in _in_order(results.parts):
        option = "" if name == "dask" else f" --framework {name}"
        kinds = {"bare": _BARE[name], "warm": f"`ebb run{option}`, Prefect server running"}
        kinds["cold"] = f"`ebb run{option}`, server not running"
        base = median(part, "bare", "first_line_s")
        for kind, told in kinds.items():
            if part.samples.get(kind):
                first = median(part, kind, "first_line_s")
                ratio = "1" if kind == "bare" else f"{first / base:.2f}"
                rows.append([told, _seconds(first), ratio, _seconds(median(part, kind, "end_s"))])
    return _block(rows, results)


def prefect_overhead(results: Results) -> str:
    """One row a kind."""
    (part,) = results.parts.values()
    rows = [["what", "wall", "ratio", "CPU", "requests"]]
    base = median(part, "steps", "wall_s")
    for kind, told in _PREFECT.items():
        wall, asked = median(part, kind, "wall_s"), _figures(part, kind, "requests")
        requests = f"{statistics.median(asked):g}" if asked else ""
        ratio = "1" if kind == "steps" else f"{wall / base:.2g}"
        cpu = _seconds(median(part, kind, "cpu_s"))
        rows.append([told, _seconds(wall), ratio, cpu, "none" if kind == "steps" else requests])
    return _block(rows, results)


def scale_in(results: Results) -> str:
    """Of each framework its own way and ours; the worst of all rounds."""
    rows = [["framework", "way", "tasks started / needed", "data kept", "slowest to leave"]]
    for name, part in _in_order(results.parts):
        for kind, told in (("plain", _PLAIN_SHRINK[name]), ("ebb", "ebb")):
            samples = part.samples[kind]
            worst = max(samples, key=lambda sample: float(sample["started"]))
            title = TITLES[name] if kind == "plain" else ""
            slowest = max(float(sample["slowest_s"]) for sample in samples)
            started = f"{worst['started']} / {worst['needed']}"
            rows.append([title, told, started, str(worst["kept"]), f"{slowest:.1f} s"])
    return _block(rows, results)


def kubernetes_start_up(results: Results) -> str:
    """Of each framework kubectl's way, that of this process, and ours."""
    rows = [["", "first line, median (least)", "ebb beside it", "release", "requests"]]
    for name, part in _in_order(results.parts):
        ebb = median(part, "ebb", "first_line_s")
        for kind in part.samples:
            first = _figures(part, kind, "first_line_s")
            middle = statistics.median(first)
            asked = _figures(part, kind, "requests")
            requests = f"{statistics.median(asked):.0f}" if asked else ""
            beside = "" if kind == "ebb" else f"{ebb / middle:.2f} ×"
            gone = f"{median(part, kind, 'release_s'):.1f} s"
            told = f"{middle:.2f} s ({min(first):.2f})"
            rows.append([f"{name}, {kind}", told, beside, gone, requests])
    return _block(rows, results)


TABLES: Mapping[str, tuple[str, Callable[[Results], str]]] = {
    "start_up": ("start_up", start_up),
    "start_up ratios": ("start_up", start_up_ratios),
    "prefect_overhead": ("prefect_overhead", prefect_overhead),
    "scale_in": ("scale_in", scale_in),
    "kubernetes_start_up": ("kubernetes_start_up", kubernetes_start_up),
}
"""By the name in a marker: the benchmark whose results it shows, and what writes it."""


def _block(rows: list[list[str]], results: Results) -> str:
    header, *others = (f"| {' | '.join(row)} |" for row in rows)
    table = "\n".join([header, "|---" * len(rows[0]) + "|", *others])
    return f"\n\n{table}\n\n{_conditions(results.parts)}\n\n"


def _conditions(parts: Mapping[str, Part]) -> str:
    """How all of it was measured; what differs between parts is told of each."""
    rounds = _shared({name: str(part.rounds) for name, part in _in_order(parts)})
    loads = [part.machine.load_before for part in parts.values()]
    load = f"{min(loads):.1f}" + (f"–{max(loads):.1f}" if max(loads) > min(loads) else "")
    machines = {part.machine.cores: part.machine.memory_bytes for part in parts.values()}
    where = " and ".join(
        f"{cores} cores with {memory / 2**30:.1f} GiB" for cores, memory in machines.items()
    )
    versions: dict[str, str] = {}
    for _, part in _in_order(parts):
        versions |= part.versions
    told = "; ".join(dict.fromkeys(part.conditions for _, part in _in_order(parts)))
    days = sorted({part.day for part in parts.values()})
    with_versions = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"Rounds: {rounds}; {told}. On {where}, load {load} before; {with_versions}; "
        f"{' and '.join(days)}."
    )


def _shared(values: Mapping[str, str]) -> str:
    """One value where all have it, else each with its name."""
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    return ", ".join(f"{TITLES.get(name, name)} {value}" for name, value in values.items())


def _in_order(parts: Mapping[str, Part]) -> Iterable[tuple[str, Part]]:
    """The same order in all tables, whatever was measured first."""
    return sorted(parts.items())


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
