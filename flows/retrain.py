"""Retrain when a data set has changed: started by the event ``dataset.updated``.

    ebb emit dataset.updated --resource dataset.orders -p version=7 -p uri=/data/orders-7.csv

Events are not merged by Prefect's trigger: within a window it would drop a newer version as well.
Each starts a flow run; of several with the same data set and version, one has the job.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import urllib.parse
from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.states import Completed
from pydantic import Field

from ebbtide.flows.jobs import keyed_job
from ebbtide.flows.pipelines import Model
from ebbtide.flows.prefect_state import hooks
from ebbtide.flows.prefect_state.registration import ended_by, register_process
from ebbtide.flows.programs import FOLDER
from ebbtide.flows.programs.beside import beside
from ebbtide.infra.errors import ConfigurationError, EbbError, Problem
from ebbtide.infra.files.private import private_folder
from ebbtide.infra.lifecycle.claims import claim
from ebbtide.infra.lifecycle.submission import RunRequest
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.request.catalog import settings_here
from ebbtide.infra.settings import Settings

_EVENT = "dataset.updated"
_INPUTS = "inputs"
"""Where a flow run's program lies beside its data until it ends; its retry finds the same path."""
WindowMinutes = Annotated[int, Field(ge=0, le=10_080)]


@flow(
    name="retrain",
    flow_run_name="retrain-{dataset}-{version}",
    persist_result=False,
    on_cancellation=[hooks.release],
    on_crashed=[hooks.release],
)
def retrain(
    dataset: str,
    version: str,
    uri: str,
    framework: Literal["dask", "none"] = "none",
    window_minutes: WindowMinutes = 60,
) -> Any:
    """Train a model on a data set of a certain version, once.

    Args:
        dataset: The data set's name; the resource of the event.
        version: Which version of it; from the event's payload.
        uri: Where that is: a path, or a file URL; from the event's payload.
        framework: What the training runs on; none is a single process.
        window_minutes: A version that was trained on within this time is not trained on again.

    Returns:
        A state: Completed with the model, Skipped when another run has the version, or Failed.
    """
    settings = settings_here(os.environ, Path.cwd())
    me = register_process(settings)
    try:
        data = _checked(dataset, version, uri)
    except ConfigurationError as error:
        return ended_by(error)
    key = f"retrain/{dataset}/{version}"
    name = hashlib.sha256(f"{key}/{me}".encode()).hexdigest()[:16]
    folder = private_folder(settings.home, _INPUTS, name)
    try:
        program = beside(FOLDER / "train.py", {data.name: data}, folder)
        argv = (str(program), data.name, data.name)
        options = {"framework": framework, "workers": (1, 2), "workdir": str(folder)}
        request = RunRequest(argv=argv, options=options)
        window_s = window_minutes * 60.0
        taken = claim(settings, request, key=key, window_s=window_s, flow_run_id=me)
        if taken is not None:
            return Completed(name="Skipped", message=f"{dataset} {version} is {taken}")
        trained = keyed_job(argv, options, label="train", key=key)
        model = trained.output("model.json", Model)
        return Completed(message=f"run {trained.run}: error {model.error:.4f}", data=model)
    finally:  # a retry of this flow run makes it again
        with contextlib.suppress(EbbError, OSError):  # what the run came to counts
            _clear(settings, folder, key)


def _clear(settings: Settings, folder: Path, key: str) -> None:
    """Delete a flow run's inputs, and those of a dead one whose run it has brought to its end."""
    with contextlib.closing(open_store(settings)) as store:
        run = store.run_of(key)
    over = run is not None and run.ended is not None
    job = run.spec.job if run is not None and over else None
    for each in {folder, Path(job.workdir) if job is not None else folder}:
        if each.parent == folder.parent:
            shutil.rmtree(each, ignore_errors=True)


def _checked(dataset: str, version: str, uri: str) -> Path:
    """Return the path of the data. A fact that the event did not have arrives as an empty text."""
    given = {"dataset": dataset, "version": version, "uri": uri}
    hint = f"ebb emit {_EVENT} --resource DATASET -p version=V -p uri=/PATH"
    missing = [name for name, value in given.items() if not value.strip()]
    problems = [Problem(Reason.OPTION_INVALID, f"there is no {name}", hint) for name in missing]
    parts = urllib.parse.urlsplit(uri)
    path = Path(urllib.parse.unquote(parts.path))
    if "uri" not in missing and parts.scheme not in ("", "file"):
        summary = f"uri {uri}: this program reads files, not {parts.scheme}"
        problems.append(Problem(Reason.OPTION_INVALID, summary, hint))
    elif "uri" not in missing and not (path.is_absolute() and path.is_file()):
        summary = f"uri {uri}: there is no such file here (its path must be absolute)"
        problems.append(Problem(Reason.OPTION_INVALID, summary, hint))
    if problems:
        raise ConfigurationError(problems)
    return path
