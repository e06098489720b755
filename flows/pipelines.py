"""The nightly pipeline: prepare a day's data, train on its shards in parallel, report the best.

A small but real one, and a pattern for others: several jobs, typed hand-over between them, each on
a cluster of its own or all on one.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run as runtime
from pydantic import BaseModel, Field

from ebbtide.flows.jobs import RunResult, cluster, job, parallel
from ebbtide.flows.prefect_state import hooks
from ebbtide.flows.prefect_state.registration import register_process
from ebbtide.flows.programs import FOLDER
from ebbtide.flows.programs.beside import beside
from ebbtide.infra.settings import load_settings

RunProgram = Callable[..., RunResult]
"""Where a program runs: ``job`` or the ``run`` of a cluster that is held."""


class Prepared(BaseModel):
    """What ``prepare.py`` hands over."""

    day: dt.date
    rows: int
    check: str
    shards: list[str]


class Model(BaseModel):
    """What ``train.py`` hands over."""

    shard: str
    penalty: float
    weights: tuple[float, float, float]
    error: float


class Report(BaseModel):
    """What ``report.py`` hands over."""

    day: dt.date
    best: Model
    models: int


Shards = Annotated[int, Field(ge=1, le=16)]
Rows = Annotated[int, Field(ge=10, le=100_000)]


@flow(
    name="nightly-pipeline",
    persist_result=False,
    on_cancellation=[hooks.release],
    on_crashed=[hooks.release],
)
def nightly_pipeline(
    day: dt.date | None = None,
    shards: Shards = 2,
    rows: Rows = 1000,
    framework: Literal["dask", "none"] = "dask",
    share_cluster: bool = False,
) -> Report:
    """Prepare a day's data, train a model on each part of it in parallel, and report the best.

    A retry of a failed run does only what had not ended well.

    Args:
        day: Whose data; when not given, the day before this run's scheduled start.
        shards: Into how many parts the data is cut; each trains a model.
        rows: Measurements in each part.
        framework: What the training jobs run on; none is a single process.
        share_cluster: All jobs on one cluster, instead of each on a cluster of its own.

    Returns:
        The report: the best model and how many models were compared.
    """
    register_process(load_settings())
    date = day or _day_before()
    with _runners(framework, shared=share_cluster) as (small, large):
        made = small(FOLDER / "prepare.py", date, shards, rows, name="prepare")
        prepared = made.output("prepared.json", Prepared)
        names = [Path(path).name for path in (prepared.check, *prepared.shards)]
        data = {name: made.output_dir / name for name in names}
        train = beside(FOLDER / "train.py", data, made.output_dir.parent / "train")
        check, *parts = names
        with parallel() as group:
            training = [
                group.submit(large, train, part, check, name=f"train-{n}")
                for n, part in enumerate(parts)
            ]
        trained = [future.result() for future in training]
        for each in trained:
            each.output("model.json", Model)  # a wrong one is told by its own name, not in report
        models = {
            f"model-{n}.json": each.output_dir / "model.json" for n, each in enumerate(trained)
        }
        report_program = beside(FOLDER / "report.py", models, made.output_dir.parent / "report")
        reported = small(report_program, date, *models, name="report")
    report = reported.output("report.json", Report)
    markdown = (reported.output_dir / "report.md").read_text()
    create_markdown_artifact(markdown, key="nightly-report", description=f"Models of {date}")
    return report


@contextlib.contextmanager
def _runners(framework: str, *, shared: bool) -> Iterator[tuple[RunProgram, RunProgram]]:
    """Yield what runs small programs and what runs large ones."""
    if not shared:
        large = partial(job, framework=framework, workers=(1, 2))
        yield partial(job, framework="none"), large
        return
    with cluster(framework, name="shared", workers=(1, 2)) as held:
        yield held.run, held.run


def _day_before() -> dt.date:
    """The day before the scheduled start, so that a run that is late is still about its own day."""
    scheduled: dt.datetime = runtime.scheduled_start_time
    return scheduled.date() - dt.timedelta(days=1)
