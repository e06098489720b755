"""What every platform promises, on a real Kubernetes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from ebbtide.infra.lifecycle.reaper import reap
from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.platforms.kubernetes.clusters import fencing
from ebbtide.infra.settings import Settings
from tests.contract import test_platform_contract as contract
from tests.contract.bench import Bench, at_work, waiting_run

globals().update({name: test for name, test in vars(contract).items() if name.startswith("test_")})
_ROUND_S = 0.5


class OnPods(Bench):
    """Nobody takes care of a cluster there but who drives its run, and whoever uses the place."""

    @contextlib.contextmanager
    def others(self) -> Iterator[None]:
        over = threading.Event()

        def rounds() -> None:
            while not over.wait(_ROUND_S):
                reap(self.settings)

        def me() -> str:
            return "somebody" if threading.current_thread() is somebody else ours()

        somebody, ours = threading.Thread(target=rounds), fencing.me
        # Another process as far as Leases go: none judges what it holds itself.
        with patch.object(fencing, "me", me):
            somebody.start()
            try:
                yield
            finally:
                over.set()
                somebody.join()


@pytest.fixture(params=contract.EACH)
def bench(
    request: pytest.FixtureRequest, place: Settings, real_pool: NodePool, tmp_path: Path
) -> Iterator[Bench]:
    spec = waiting_run(tmp_path, "kubernetes", request.param)
    spec = replace(spec, cluster=replace(spec.cluster, pool=real_pool))
    with at_work(OnPods(place, spec)) as made:
        yield made
