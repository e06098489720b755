"""The GPUs of this machine: which are found, which may be used, and what is said of none."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.request import gpus
from ebbtide.infra.request.catalog import Catalog, Machine, load_catalog
from ebbtide.infra.request.gpus import MachineGpus, NoGpusError, this_machines_gpus
from ebbtide.infra.request.spec import RequestContext, build_run_spec

GI = 2**30
FOUR = ("GPU-a1", "GPU-b2", "GPU-c3", "GPU-c4")
TIERS = "tiers:\n  plain: {cpu: 1, memory: 1Gi}\n"
ONE_GPU = f"{TIERS}  gpu: {{cpu: 1, memory: 1Gi, gpus: 1}}\n"
Load = Callable[[str, Callable[[], MachineGpus]], Catalog]


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "ask_nvml", lambda: FOUR)


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_text(text: str, find: Callable[[], MachineGpus]) -> Catalog:
        path = tmp_path / "ebb.yaml"
        path.write_text(text)
        return load_catalog(path, Machine(Resources(4000, 10 * GI), find))[0]

    return load_text


@pytest.mark.parametrize(
    ("allowed", "devices"),
    [
        (None, FOUR),
        ("1,0", ("GPU-b2", "GPU-a1")),
        ("GPU-b,3", ("GPU-b2", "GPU-c4")),
        ("0,9,1", ("GPU-a1",)),
        ("0,0", ("GPU-a1",)),
        ("GPU-c", ()),
        ("-1", ()),
        ("", ()),
    ],
)
def test_those_that_the_caller_may_use_are_found(
    four: None, allowed: str | None, devices: tuple[str, ...]
) -> None:
    environ = {} if allowed is None else {"CUDA_VISIBLE_DEVICES": allowed}
    found = this_machines_gpus(environ)
    assert found.devices == devices
    told = "" if devices else f"CUDA_VISIBLE_DEVICES={allowed} allows none of 4"
    assert found.missing == told


def test_why_there_are_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> tuple[str, ...]:
        raise NoGpusError("NVML says: Driver Not Loaded")

    monkeypatch.setattr(gpus, "ask_nvml", fails)
    assert this_machines_gpus({}) == MachineGpus(missing="NVML says: Driver Not Loaded")
    monkeypatch.setattr(gpus, "ask_nvml", tuple)
    assert this_machines_gpus({}).missing == "NVML finds none"


def test_a_machine_without_the_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert 'pip install "ebbtide[gpu]"' in this_machines_gpus({}).missing


def test_nvml_itself_is_asked_and_answers_or_says_why_not() -> None:
    """The real library: on a machine with a driver its GPUs, on any other the reason."""
    pytest.importorskip("pynvml")
    found = this_machines_gpus({})
    assert bool(found.devices) != bool(found.missing)
    assert all(device.startswith("GPU-") for device in found.devices)
    assert not found.missing or found.missing.startswith(("NVML says: ", "NVML finds none"))


def test_the_pool_of_this_machine_has_them_where_a_tier_asks(load: Load) -> None:
    pool = load(ONE_GPU, lambda: MachineGpus(FOUR)).pool("local")
    assert (pool.devices, pool.capacity.gpus) == (FOUR, 4)


def test_nobody_looks_for_gpus_where_no_tier_of_this_machine_asks(load: Load) -> None:
    def looked() -> MachineGpus:
        raise AssertionError("it looked")

    assert load(TIERS, looked).pool("local").devices == ()
    nodes = "{platform: kubernetes, nodes: 1, node-cpu: 8, node-memory: 32Gi, node-gpus: 1}"
    far = f"pools: {{far: {nodes}}}\n{ONE_GPU}"
    assert load(far, looked).pool("far").devices == ()


def test_a_tier_with_a_gpu_is_refused_on_a_machine_without_and_told_why(
    load: Load, tmp_path: Path
) -> None:
    (tmp_path / "train.py").touch()
    catalog = load(ONE_GPU, lambda: MachineGpus(missing="NVML says: Driver Not Loaded"))
    ask = RequestContext(
        argv=("python", "train.py"),
        cli={"tier": "gpu"},
        environ={"PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        catalog=catalog,
        file_options={},
        installed=lambda _: [],
        frameworks=("none", "dask"),
        random=Random(1),
    )
    with pytest.raises(ConfigurationError) as caught:
        build_run_spec(ask)
    problems = [p for p in caught.value.problems if p.reason is Reason.TIER_EXCEEDS_POOL]
    (problem,) = problems
    assert problem.summary == (
        "gpu asks 1 GPU; pool local has no GPU (NVML says: Driver Not Loaded)"
    )
    assert "--platform kubernetes" in problem.hint
