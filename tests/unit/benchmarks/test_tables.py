"""Result files, and the tables that are made from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.results import Machine, Part, Results, Samples, load, measured

MACHINE = Machine(cores=2, memory_bytes=2**34, load_before=0.2, load_after=1.0)
BARE = [{"first_line_s": s, "end_s": s + 1, "recorded_s": None} for s in (1.0, 2.0, 9.0)]
WARM = [{"first_line_s": s, "end_s": s + 1, "recorded_s": 9.0} for s in (2.0, 3.0, 4.0)]
HOW = "Rounds: 3; interleaved. On 2 cores with 16.0 GiB, load 0.2 before; Python 3.11; 2026-01-02."


def part(samples: Samples, **more: Any) -> Part:
    fixed: dict[str, Any] = {"day": "2026-01-02", "rounds": 3, "conditions": "interleaved"}
    known = {"machine": MACHINE, "versions": {"Python": "3.11"}, "samples": samples}
    return Part(**{**fixed, **known, **more})


START_UP = Results("start_up", {"dask": part({"bare": BARE, "warm": WARM, "cold": []})})


def saved(results: Results, folder: Path) -> Path:
    results.save(folder)
    return folder


def test_table_without_results_stays_as_it_is(tmp_path: Path) -> None:
    text = "a <!-- benchmark: start_up -->as typed<!-- /benchmark --> b"
    assert tables.with_tables(text, tmp_path) == text


def test_start_is_told_by_medians_beside_the_bare_framework() -> None:
    assert tables.start_up(START_UP).split("\n")[2:] == [
        "| from the command | to the program's first line | ratio | to the prompt |",
        "|---|---|---|---|",
        "| a plain `LocalCluster` script | 2.00 s | 1 | 3.00 s |",
        "| `ebb run`, Prefect server running | 3.00 s | 1.50 | 4.00 s |",
        "",
        HOW,
        "",
        "",
    ]


def test_ratios_stand_in_the_middle_of_a_sentence(tmp_path: Path) -> None:
    folder = saved(START_UP, tmp_path)
    text = "(<!-- benchmark: start_up ratios -->Dask 1.3<!-- /benchmark --> times its time)"
    assert tables.with_tables(text, folder) == text.replace("1.3", "1.50")
    assert tables.with_tables(tables.with_tables(text, folder), folder) == text.replace(
        "1.3", "1.50"
    )


def test_prefect_is_told_beside_the_steps_without_it() -> None:
    def cost(wall_s: float, requests: int | None) -> list[dict[str, Any]]:
        return [{"wall_s": wall_s, "cpu_s": wall_s / 2, "requests": requests}]

    kinds = {"steps": cost(1.0, 0), "plain": cost(3.0, 14), "flow": cost(4.0, 19)}
    more = {"ebb": cost(3.5, 21), "plain-cold": cost(14.0, None), "ebb-cold": cost(12.0, None)}
    told = tables.prefect_overhead(Results("prefect_overhead", {"true": part(kinds | more)}))
    assert told.split("\n")[4:10] == [
        "| the seven steps without Prefect | 1.00 s | 1 | 0.50 s | none |",
        "| a Prefect flow of seven empty tasks | 3.00 s | 3 | 1.50 s | 14 |",
        "| `run-job`, as a Prefect worker runs it | 4.00 s | 4 | 2.00 s | 19 |",
        "| `ebb run`, running server | 3.50 s | 3.5 | 1.75 s | 21 |",
        "| Prefect's own server started for the flow of empty tasks | 14.0 s | 14 | 7.00 s |  |",
        "| `ebb run`, server not running | 12.0 s | 12 | 6.00 s |  |",
    ]


def test_shrink_is_told_by_its_worst_round() -> None:
    def loss(started: int, kept: str, slowest_s: float) -> dict[str, Any]:
        return {"started": started, "needed": 30, "kept": kept, "slowest_s": slowest_s}

    plain = [loss(32, "6 of 20", 0.1), loss(31, "9 of 20", 0.4)]
    samples = {"plain": plain, "ebb": [loss(30, "all", 0.2)]}
    told = tables.scale_in(Results("scale_in", {"dask": part(samples)}))
    assert told.split("\n")[4:6] == [
        "| Dask | `LocalCluster.scale` | 32 / 30 | 6 of 20 | 0.4 s |",
        "|  | ebb | 30 / 30 | all | 0.2 s |",
    ]


def test_start_on_kubernetes_is_told_beside_kubectl() -> None:
    def timing(first_line_s: float, requests: int | None) -> list[dict[str, Any]]:
        return [{"first_line_s": first_line_s, "release_s": 2.0, "requests": requests}]

    samples = {"kubectl": timing(3.0, None), "ebb": timing(3.3, 125)}
    told = tables.kubernetes_start_up(Results("kubernetes_start_up", {"dask": part(samples)}))
    assert told.split("\n")[4:6] == [
        "| dask, kubectl | 3.00 s (3.00) | 1.10 × | 2.0 s |  |",
        "| dask, ebb | 3.30 s (3.30) |  | 2.0 s | 125 |",
    ]


def test_conditions_that_differ_between_parts_are_told_of_each() -> None:
    busy = Machine(cores=2, memory_bytes=2**34, load_before=0.5, load_after=1.0)
    both = {"dask": START_UP.parts["dask"]}
    both["spark"] = part({"bare": BARE, "warm": WARM}, rounds=2, machine=busy)
    told = tables.start_up(Results("start_up", both))
    assert "Rounds: Dask 3, Spark 2; interleaved." in told
    assert "load 0.2–0.5 before" in told


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert load("start_up", saved(START_UP, tmp_path)) == START_UP
    assert load("scale_in", tmp_path) is None


def test_what_a_measurement_depends_on_is_noted() -> None:
    found = measured(lambda: {"bare": [{"end_s": 1.23456}]}, 1, "alone", ["no-such-thing"])
    assert found.samples == {"bare": [{"end_s": 1.2346}]}
    assert set(found.versions) == {"Python"}
    assert found.machine.memory_bytes > 0
