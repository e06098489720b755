"""Ray's programs on pods: as on a laptop, with a node of their own beside them."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.lifecycle import steps
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import format_memory
from tests.clusters import Stand, script, standing_at
from tests.contract.conftest import SMALLEST, small
from tests.contract.rig import Rig
from tests.contract.test_framework_contract import HOG
from tests.local.test_ray_driver import CORE_AND_DATA, TUNE

AS_ON_A_LAPTOP = [
    "result 2470",
    "result [0, 1, 3, 6, 10]",
    "result 144",
    f"result {list(range(0, 40, 2))}",
]
LOOKS = """
    import json, os, ray

    def where(_=0):
        return os.environ["POD_NAME"]

    def seen():
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return sorted(node.get("CPU", 0) for node in nodes)

    ray.init(log_to_driver=False)
    small = [ray.remote(where).options(num_cpus=0).remote(i) for i in range(20)]
    usual = [ray.remote(where).remote(i) for i in range(4)]
    shared = os.statvfs("/dev/shm")
    print(json.dumps({
        "small": sorted(set(ray.get(small))),
        "usual": sorted(set(ray.get(usual))),
        "cpus": seen(),
        "memory": ray.cluster_resources()["memory"],
        "shared": shared.f_blocks * shared.f_frsize,
        "here": os.environ["POD_NAME"],
    }))
    """
DETACHED = """
    import ray

    class Stays:
        def says(self):
            return "it is there"

    ray.init(log_to_driver=False, namespace="mine")
    actor = ray.remote(Stays).options(name="stays", lifetime="detached").remote()
    print(ray.get(actor.says.remote()))
    """
HOGS = """
    import ray

    ray.init(log_to_driver=False)
    print(ray.get(ray.remote(lambda: 3).remote()), flush=True)
    hog(2000)
    """


@pytest.fixture(scope="module")
def stand(rig_of_module: Rig) -> Iterator[Stand]:
    spec = rig_of_module.run("laptop", small("ray"), None)
    with standing_at(rig_of_module.settings, spec, autoscale=False) as found:
        yield found


def printed(stand: Stand, folder: Path, name: str, text: str) -> list[str]:
    """What a program has printed that ended well on the cluster."""
    program = script(folder, text)
    job = JobSpec(argv=(sys.executable, str(program)), workdir=str(folder))
    steps.run_program(stand.attempt, name, job)
    there = stand.home / "runs" / stand.attempt.spec.name / "programs" / name
    return (there / "stdout.log").read_text().splitlines()


def test_quick_starts_print_what_they_do_on_a_laptop(stand: Stand, tmp_path: Path) -> None:
    lines = printed(stand, tmp_path, "quick", CORE_AND_DATA)
    assert [line for line in lines if line.startswith("result ")] == AS_ON_A_LAPTOP


@pytest.mark.long
def test_tuning_prints_what_it_does_on_a_laptop(stand: Stand, tmp_path: Path) -> None:
    lines = printed(stand, tmp_path, "tune", TUNE)
    assert [line for line in lines if line.startswith("result ")] == ["result {'x': 3}"]


def test_nodes_have_what_their_pods_have_and_tasks_without_cpus_run_beside_the_program(
    stand: Stand, tmp_path: Path
) -> None:
    (line,) = printed(stand, tmp_path, "looks", LOOKS)
    found, memory = json.loads(line), SMALLEST["ray"].resources.memory_bytes
    assert found["cpus"] == [0, 0, 1]
    assert found["memory"] < 2 * memory
    assert memory / 4 <= found["shared"] < memory
    assert found["small"] == [found["here"]]
    assert found["here"] not in found["usual"]


@pytest.mark.long
def test_detached_actor_does_not_hold_a_cluster_whose_program_has_ended(
    rig: Rig, tmp_path: Path
) -> None:
    outcome = rig.carried_out(rig.run("detached", small("ray"), script(tmp_path, DETACHED)))
    assert outcome.error is None, outcome.errors()
    assert "it is there" in outcome.output().splitlines()
    assert rig.platform.held() == []


@pytest.mark.long
def test_program_that_runs_out_of_memory_is_told_from_the_head(rig: Rig, tmp_path: Path) -> None:
    tier = SMALLEST["ray"]
    larger = replace(tier, resources=replace(tier.resources, memory_bytes=2**31))
    cluster = replace(small("ray"), head_tier=larger)
    outcome = rig.carried_out(
        rig.run("hog", cluster, script(tmp_path, HOG + textwrap.dedent(HOGS)))
    )
    assert outcome.output() == "3\n"
    assert outcome.run.reason == Reason.OUT_OF_MEMORY, outcome.errors()
    assert "the program was killed" in outcome.run.detail
    assert format_memory(2**31) in outcome.run.detail
