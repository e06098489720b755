"""What this machine lacks is known before anything is made."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.frameworks.dask.framework import Dask
from ebbtide.infra.frameworks.plan import MemberAddress
from ebbtide.infra.lifecycle.submission import RunRequest, spec_for
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.local import layout, problems
from tests.clusters import TIER, cluster_spec, run_spec


def test_without_proc_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "started_ticks", lambda _: 0)
    program = tmp_path / "train.py"
    program.touch()
    request = RunRequest(argv=(str(program),), options={"framework": "none"})
    environ = {**os.environ, "EBB_HOME": str(tmp_path / "home")}
    with pytest.raises(ConfigurationError) as refused:
        spec_for(request, environ, tmp_path)
    (problem,) = refused.value.problems
    assert (problem.reason, problem.summary) == (Reason.PLATFORM_UNUSABLE, "/proc cannot be read")


def test_without_loopback_no_server_can_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = MemberAddress(bind="192.0.2.1", host="192.0.2.1", page_hosts=())
    monkeypatch.setattr(layout, "HEAD", elsewhere)
    (problem,) = problems.machine_problems()
    assert problem.reason is Reason.PLATFORM_UNUSABLE
    assert "interface lo" in problem.hint


def test_a_framework_is_shown_the_environment_that_members_and_driver_will_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[dict[str, str]] = []

    def refusals(*given: Any) -> list[Problem]:
        shown.append(dict(given[4]))
        return []

    monkeypatch.setattr(Dask, "refusals", refusals)
    spec = run_spec("heron", cluster_spec(), tmp_path / "p.py", env={"A": "option"})
    problems.framework_problems(spec, {"A": "shell", "B": "shell", "EBB_USER_PYTHONPATH": "mine"})
    assert shown == [{"A": "option", "B": "shell", "PYTHONPATH": "mine"}]


@pytest.mark.parametrize(
    ("framework", "names"),
    [
        ("dask", ["DASK_SCHEDULER_ADDRESS", "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY"]),
        ("ray", ["RAY_ADDRESS", "RAY_AUTH_TOKEN_PATH", "RAY_CLOUD_INSTANCE_ID"]),
        ("spark", ["MASTER", "SPARK_CONF_DIR", "SPARK_LOCAL_IP"]),
    ],
)
def test_what_places_a_process_in_its_cluster_cannot_be_set_and_is_named(
    tmp_path: Path, framework: str, names: list[str]
) -> None:
    env = dict.fromkeys(["MINE", "PYTHONPATH", "OMP_NUM_THREADS", *names], "1")
    large = replace(TIER, resources=Resources(1000, 4096 * 2**20))
    cluster = cluster_spec(framework, tier=large, head_tier=large)
    spec = run_spec("heron", cluster, tmp_path / "p.py", env=env)
    found = problems.framework_problems(spec, {})
    assert [problem.summary.split()[1] for problem in found] == sorted(names)
    assert {problem.reason for problem in found} == {Reason.OPTION_INVALID}


def test_a_python_of_elsewhere_is_named_as_an_interpreter(tmp_path: Path) -> None:
    spec = run_spec("heron", cluster_spec(), tmp_path / "p.py", env={"PYTHONHOME": "/nope"})
    (problem,) = problems.framework_problems(spec, {})
    assert "--env PYTHONHOME" in problem.summary
    assert "ebb run -- /path/to/python" in problem.hint
