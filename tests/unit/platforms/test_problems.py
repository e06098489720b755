"""What this machine lacks is known before anything is made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.frameworks.plan import MemberAddress
from ebbtide.infra.lifecycle.submission import RunRequest, spec_for
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.local import layout, problems
from ebbtide.infra.records.ledger import Ledger


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
