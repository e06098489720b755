"""What the user's program has in its environment: the user's own, not what we set for flows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ebbtide.flows.prefect_server.bind import Bind
from ebbtide.flows.service.manager import Manager
from ebbtide.infra.platforms.local.processes import user_environment
from ebbtide.infra.settings import Settings


@pytest.mark.parametrize("users", [None, "/of/the/user"])
def test_the_folder_that_ebb_up_sets_for_flows_is_no_option_of_a_nested_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, users: str | None
) -> None:
    before = {"PATH": "/bin"} if users is None else {"PATH": "/bin", "EBB_WORKDIR": users}
    monkeypatch.setattr(os, "environ", dict(before))
    Manager(Settings(tmp_path), tmp_path, 1, Bind())._prepare_environment()
    assert os.environ["EBB_WORKDIR"] == (users or str(tmp_path))
    assert user_environment(os.environ).get("EBB_WORKDIR") == users
