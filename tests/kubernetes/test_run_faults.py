"""A fault in the middle of a run: what becomes of it, who releases, what is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.settings import Settings
from tests.clusters import POOL
from tests.kubernetes.conftest import Image
from tests.kubernetes.fault_stage import Flow, Stage
from tests.kubernetes.lab import faults
from tests.kubernetes.lab.place import NODE, Lab

Switch = Callable[[Lab], AbstractContextManager[None]]
AWAY = [faults.killed, faults.stopped, faults.refused]
OUTAGE_S = 14.0
"""More than twice what a Lease of these tests lasts."""


@pytest.fixture
def stage(lab: Lab, here: Api, image: Image, ebb_home: Path, tmp_path: Path) -> Stage:
    settings = Settings(
        home=ebb_home,
        prefect_server=False,
        namespace=here.namespace,
        kubeconfig=str(lab.kubeconfig),
    )
    pool = replace(
        POOL,
        platform="kubernetes",
        label="kubernetes.io/hostname",
        label_value=NODE,
        images={name: image(name) for name in ("none", "dask")},
    )
    return Stage(settings, pool, tmp_path, here)


@pytest.mark.parametrize("away", AWAY)
def test_program_goes_on_while_the_api_server_is_away(lab: Lab, stage: Stage, away: Switch) -> None:
    flow = Flow(stage, stage.counts("outage", 25))
    flow.says("begun")
    with away(lab):
        threading.Event().wait(OUTAGE_S)
    ended = flow.ended()
    assert (ended.error, ended.attempts) == (None, [])
    assert ended.counted_once()
    assert ended.files == {"kept.txt": "kept"}
    assert len(ended.warnings("API server")) == 1
    assert stage.left() == []
