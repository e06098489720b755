"""Programs as Ray's tutorials begin them: the same on a laptop and on the cluster of a run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebbtide.infra.errors import JobError
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.models.job import JobSpec
from tests.clusters import Stand, run_spec, script, standing
from tests.contract.conftest import small

CORE = """
    import ray

    @ray.remote
    def square(x):
        return x * x

    @ray.remote
    class Counter:
        def __init__(self):
            self.value = 0

        def add(self, amount):
            self.value += amount
            return self.value

    print(sum(ray.get([square.remote(x) for x in range(20)])))
    counter = Counter.remote()
    print(ray.get([counter.add.remote(x) for x in range(5)]))
    print(ray.get(square.remote(ray.put(12))))
    ray.shutdown()
    """
"""No ``ray.init`` at all."""

LIBRARIES = """
    import ray
    from ray import tune
    from ray.train import ScalingConfig, get_context
    from ray.train.data_parallel_trainer import DataParallelTrainer

    ray.init(num_cpus=4, ignore_reinit_error=True)
    ray.init(num_cpus=4, ignore_reinit_error=True)

    rows = ray.data.range(20).map(lambda row: {"id": row["id"] * 2})
    print(sorted(row["id"] for row in rows.filter(lambda row: row["id"] > 9).take_all()))

    def trial(config):
        tune.report({"score": (config["x"] - 3) ** 2})

    grid = tune.Tuner(trial, param_space={"x": tune.grid_search([1, 3, 5])}).fit()
    print(grid.get_best_result("score", "min").config)

    def train():
        ray.train.report({"ranks": get_context().get_world_size()})

    scaling = ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1})
    print(DataParallelTrainer(train, scaling_config=scaling).fit().metrics["ranks"])
    """

SPELLINGS = """
    import os
    import ray

    for spelling in (
        dict(address="auto"),
        dict(num_cpus=4, num_gpus=0, resources={"a": 1}, labels={"zone": "x"}),
        dict(object_store_memory=100_000_000, _system_config={"num_workers_soft_limit": 2}),
        dict(include_dashboard=False, dashboard_host="0.0.0.0", dashboard_port=8265),
        dict(_temp_dir="/tmp/elsewhere", _node_ip_address="127.0.0.1", _node_name="me"),
        dict(namespace="mine", log_to_driver=False, runtime_env={"env_vars": {"A": "1"}}),
    ):
        ray.init(**spelling)
        ours = ray.get_runtime_context().gcs_address == os.environ["RAY_ADDRESS"]
        print(ray.get(ray.remote(lambda: 7).remote()), ours)
        try:
            ray.init()
        except RuntimeError as error:
            print("twice by accident" in str(error))
        ray.shutdown()
    """

OWN = """
    import ray

    ray.init(address="local", num_cpus=1)
    print(ray.get(ray.remote(lambda: 7).remote()), len(ray.nodes()))
    """


@pytest.fixture(scope="module")
def stand(home_of_module: Path) -> Iterator[Stand]:
    with standing(home_of_module, run_spec("laptop", small("ray"))) as stand:
        yield stand


def on_the_cluster(stand: Stand, folder: Path, text: str) -> Path:
    """Run a program on the cluster; its folder has what it printed and noted."""
    program = script(folder, text)
    name = folder.name
    job = JobSpec(argv=(sys.executable, str(program)), workdir=str(folder))
    there = stand.home / "runs" / "laptop" / "programs" / name
    try:
        steps.run_program(stand.attempt, name, job)
    except JobError:
        pytest.fail((there / "stderr.log").read_text())
    return there


def bare(folder: Path, text: str) -> str:
    """What it prints on a laptop."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    program = [sys.executable, str(script(folder, text))]
    done = subprocess.run(program, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("text", [CORE, LIBRARIES], ids=["core", "libraries"])
def test_quick_starts_print_the_same_on_a_laptop_and_on_the_cluster(
    stand: Stand, tmp_path: Path, text: str
) -> None:
    there = on_the_cluster(stand, tmp_path, text)
    assert (there / "stdout.log").read_text() == bare(tmp_path, text)


def test_every_spelling_of_a_laptop_connects_and_says_so(stand: Stand, tmp_path: Path) -> None:
    there = on_the_cluster(stand, tmp_path, SPELLINGS)
    assert (there / "stdout.log").read_text() == "7 True\nTrue\n" * 6
    said = [line for line in (there / "stderr.log").read_text().splitlines() if "ebb: " in line]
    assert len(said) == 4


def test_a_ray_of_its_own_works_and_is_noted(stand: Stand, tmp_path: Path) -> None:
    there = on_the_cluster(stand, tmp_path, OWN)
    assert (there / "stdout.log").read_text() == "7 1\n"
    (noted,) = there.glob("notes-*.jsonl")
    assert 'its own Ray: ray.init(address=\\"local\\")' in noted.read_text()
