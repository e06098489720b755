"""What the user's program has in its environment: the user's own, not what we set for flows."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.request import proxy_bypass

import pytest

from ebbtide.flows.prefect_server.bind import Bind
from ebbtide.flows.service.manager import Manager
from ebbtide.infra.processes.environment import (
    give_back_to_tasks,
    member_environment,
    our_environment,
    program_environment,
    reach_this_machine_directly,
    user_environment,
)
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


@pytest.mark.parametrize("speaks_socks", [False, True])
def test_a_proxy_that_our_clients_cannot_speak_with_is_out_of_their_way(
    monkeypatch: pytest.MonkeyPatch, speaks_socks: bool
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: speaks_socks or None)
    users = {"ALL_PROXY": "socks5://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    ours = dict(users)
    reach_this_machine_directly(ours)
    assert ("ALL_PROXY" in ours, "http_proxy" in ours) == (speaks_socks, True)
    assert user_environment(ours) == users


GOVERNS = {"PYTHONWARNINGS": "error", "PYTHONINSPECT": "1", "PYTHONOPTIMIZE": "2"}
SHELL = {"A": "shell", "PYTHONPATH": "/mine", "PYTHONHASHSEED": "7", **GOVERNS}


def test_processes_of_ours_do_not_obey_what_the_user_has_set_for_any_python() -> None:
    ours = our_environment(our_environment(SHELL))
    assert not {"PYTHONPATH", *GOVERNS} & set(ours)
    assert (ours["A"], ours["PYTHONHASHSEED"]) == ("shell", "7")
    assert user_environment(ours) == SHELL


def test_head_and_workers_have_what_the_user_has_but_do_not_obey_it_themselves() -> None:
    members = member_environment(our_environment({"B": "shell", **SHELL}), {"A": "option"})
    assert (members["A"], members["B"]) == ("option", "shell")
    assert not {"PYTHONPATH", *GOVERNS} & set(members)


def test_tasks_have_what_the_user_has_set_for_any_python_whoever_set_it() -> None:
    members = member_environment({"PYTHONOPTIMIZE": "2"}, {"PYTHONWARNINGS": "error"})
    give_back_to_tasks(members)
    assert members == {"PYTHONOPTIMIZE": "2", "PYTHONWARNINGS": "error"}


def test_worker_would_not_exit_if_it_were_told_to_inspect() -> None:
    members = member_environment({}, {"PYTHONINSPECT": "1"})
    give_back_to_tasks(members)
    assert members == {}


@pytest.mark.parametrize(
    ("shell", "option", "has"),
    [({}, {}, "1"), ({"PYTHONUNBUFFERED": ""}, {}, ""), ({}, {"PYTHONUNBUFFERED": ""}, "")],
)
def test_what_the_user_says_of_buffering_is_stronger_than_our_default(
    shell: dict[str, str], option: dict[str, str], has: str
) -> None:
    assert program_environment(shell, option)["PYTHONUNBUFFERED"] == has
