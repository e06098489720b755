"""What this machine lacks is known before anything is made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.frameworks.dask.framework import Dask
from ebbtide.infra.frameworks.plan import MemberAddress
from ebbtide.infra.lifecycle.submission import RunRequest, spec_for
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.local import layout, problems
from ebbtide.infra.records.ledger import Ledger
from tests.clusters import cluster_spec, run_spec


def test_without_proc_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "started_ticks", lambda _: 0)
    program = tmp_path / "train.py"
    program.touch()
    request = RunRequest(argv=(str(program),), options={"framework": "none"})
    environ = {**os.environ, "EBB_HOME": str(tmp_path / "home")}
    with pytest.raises(ConfigurationError) as refused:
        spec_for(request, Ledger(tmp_path / "home"), environ, tmp_path)
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
