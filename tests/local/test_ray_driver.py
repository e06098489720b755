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

CORE_AND_DATA = """
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

    print("result", sum(ray.get([square.remote(x) for x in range(20)])))  # no ray.init at all
    counter = Counter.remote()
    print("result", ray.get([counter.add.remote(x) for x in range(5)]))
    print("result", ray.get(square.remote(ray.put(12))))
    del counter

    ray.init(num_cpus=4, ignore_reinit_error=True)
    rows = ray.data.range(20).map(lambda row: {"id": row["id"] * 2})
    print("result", sorted(row["id"] for row in rows.take_all()))
    """

TUNE = """
    import os
    import ray
    from ray import tune

    ray.init(num_cpus=4)

    def trial(config):
        tune.report({"score": (config["x"] - 3) ** 2})

    here = os.getcwd()
    space = {"x": tune.grid_search([1, 3])}
    kept = tune.RunConfig(storage_path=here)
    grid = tune.Tuner(trial, param_space=space, run_config=kept).fit()
    print("result", grid.get_best_result("score", "min").config)
    """

TRAIN = """
    from ray.train import RunConfig, ScalingConfig, get_context
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    def train(config):
        me = get_context()
        open(f"{here}/{me.get_world_rank()}-of-{me.get_world_size()}.rank", "w").close()

    scaling = ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1})
    kept = RunConfig(storage_path=here)
    DataParallelTrainer(train, scaling_config=scaling, run_config=kept).fit()
    print("result", sorted(name for name in os.listdir(here) if name.endswith(".rank")))
    """
"""They print progress beside; the two workers are a placement group."""

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
    for _ in range(3):
        done = subprocess.run(
            program, env=environ, cwd=folder, capture_output=True, text=True, check=False
        )
        if "timed out during startup" not in done.stderr:  # Ray gives a node 15 s
            break
    assert done.returncode == 0, done.stderr
    return done.stdout


def results(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("result ")]


@pytest.mark.parametrize(
    ("text", "printed"),
    [(CORE_AND_DATA, 4), pytest.param(TUNE + TRAIN, 2, marks=pytest.mark.long)],
    ids=["core_and_data", "tune_and_train"],
)
def test_quick_starts_print_the_same_on_a_laptop_and_on_the_cluster(
    stand: Stand, tmp_path: Path, text: str, printed: int
) -> None:
    here, there = tmp_path / "bare", tmp_path / f"quick-{printed}"
    here.mkdir()
    there.mkdir()
    found = results((on_the_cluster(stand, there, text) / "stdout.log").read_text())
    assert len(found) == printed
    assert found == results(bare(here, text))


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
