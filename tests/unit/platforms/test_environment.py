"""What the user's program has in its environment: the user's own, not what we set for flows."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.request import proxy_bypass

import pytest

from ebbtide.flows.prefect_server.bind import Bind
from ebbtide.flows.service.manager import Manager
from ebbtide.infra.platforms.local.processes import reach_this_machine_directly, user_environment
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


@pytest.mark.parametrize("users", [{}, {"no_proxy": "a.example"}, {"NO_PROXY": "a.example"}])
def test_servers_of_this_machine_are_reached_without_a_proxy(users: dict[str, str]) -> None:
    environ = {"http_proxy": "http://proxy.example:3128", **users}
    reach_this_machine_directly(environ)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", environ)
        assert proxy_bypass("127.0.0.1")
        assert bool(proxy_bypass("a.example")) is bool(users)
        assert not proxy_bypass("b.example")


@pytest.mark.parametrize("users", [{}, {"no_proxy": "a.example"}, {"NO_PROXY": "a.example"}])
def test_program_keeps_the_users_proxies(users: dict[str, str]) -> None:
    environ = {"http_proxy": "http://proxy.example:3128", **users}
    ours = dict(environ)
    for _ in range(2):  # a flow under `ebb up` starts a flow process
        reach_this_machine_directly(ours)
    assert user_environment(ours) == environ
