"""What is left in a user's configuration of Dask does not govern a cluster; what is meant does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.clusters import carried_out, run_spec
from tests.contract.conftest import small

PROGRAM = Path(__file__).parent / "programs" / "dask_configured.py"
LEFT_BEHIND = """
distributed:
  scheduler:
    idle-timeout: 1s
    worker-ttl: 1s
    contact-address: tcp://10.9.8.7:1
    allowed-failures: 9
    worker-saturation: 2.5
  worker:
    lifetime: {duration: 1s}
    memory: {target: 0.5}
  nanny:
    pre-spawn-environ: {MKL_NUM_THREADS: 2}
  client:
    security-loader: nowhere.load
  comm:
    default-scheme: ucx
    tls: {ciphers: NONE-SUCH, ca-file: /nowhere}
scheduler-address: tcp://10.9.8.7:2
"""


@pytest.fixture(scope="module")
def found(home_of_module: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("configuration") / "dask.yaml"
    file.write_text(LEFT_BEHIND)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DASK_CONFIG", str(file))
        patch.setenv("OMP_NUM_THREADS", "4")
        cluster = small("dask", 2)
        policy = replace(cluster.policy, scale_down_window_s=120)  # both stay to be asked
        spec = run_spec("configured", replace(cluster, policy=policy), PROGRAM)
        outcome = carried_out(home_of_module, spec)
    assert outcome.error is None, outcome.errors()
    assert outcome.run.attempt == 1
    seen: dict[str, Any] = json.loads(outcome.output())
    return seen


def test_no_leftover_ends_a_head_or_a_worker(found: dict[str, Any]) -> None:
    assert found["workers"] == ["worker-0", "worker-1"]


@pytest.mark.parametrize("where", ["driver", "head", "worker"])
def test_settings_of_performance_are_the_users_everywhere(
    found: dict[str, Any], where: str
) -> None:
    assert found[where]["scheduler.allowed-failures"] == 9
    assert found[where]["scheduler.worker-saturation"] == 2.5
    assert found[where]["worker.memory.target"] == 0.5
    assert found[where]["OMP_NUM_THREADS"] == "4"


def test_our_defaults_and_those_of_dasks_nanny_are_for_what_the_user_has_not_set(
    found: dict[str, Any],
) -> None:
    assert found["worker"]["worker.memory.spill"] == 0.90
    assert found["worker"]["MKL_NUM_THREADS"] == "2"


def test_all_workers_hash_alike(found: dict[str, Any]) -> None:
    """As under Dask's nanny: programs partition by ``hash(text) % n``."""
    assert len(found["hashes"]) == 1
