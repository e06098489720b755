"""Another user of this machine, who finds the port of the owner's Prefect server."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebbtide.flows.prefect_server.api import auth_file
from tests.security.conftest import OtherUser
from tests.security.victim import Victim, victim

JOB = json.dumps({"parameters": {"program": "x.sh", "cluster": {"framework": "none"}}})
JSON = ("-H", "content-type: application/json")
ATTACKS = {
    "start a run": ("POST", "deployments/{id}/create_flow_run", (*JSON, "-d", JOB)),
    "start a run without a content type": (
        "POST",
        "deployments/{id}/create_flow_run",
        ("-H", "content-type;", "-d", JOB),
    ),
    "pause a deployment": ("POST", "deployments/{id}/pause_deployment", ()),
    "read all runs": ("POST", "flow_runs/filter", (*JSON, "-d", "{}")),
    "read a deployment by its name": ("GET", "deployments/name/run-job/run-job", ()),
    "read logs": ("POST", "logs/filter", (*JSON, "-d", "{}")),
    "send an event": ("POST", "events", (*JSON, "-d", "[]")),
    "a path that ends like the health check": ("GET", "deployments/name/run-job/health", ()),
    "empty the database": ("POST", "admin/database/clear", (*JSON, "-d", '{"confirm": true}')),
    "read the settings": ("GET", "admin/settings", ()),
}


@pytest.fixture(scope="module")
def target(home_of_module: Path) -> Iterator[Victim]:
    yield from victim(home_of_module)


def status(other: OtherUser, target: Victim, method: str, path: str, *more: str) -> str:
    url = f"{target.info.url}/{path.format(id=target.deployment)}"
    asked = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", method, *more, url)
    return other.run(*asked, check=True).stdout


@pytest.mark.parametrize("attack", ATTACKS)
def test_another_user_gets_nothing(attack: str, target: Victim, other_user: OtherUser) -> None:
    method, path, more = ATTACKS[attack]
    before = target.marks
    assert status(other_user, target, method, path, *more) == "401"
    assert target.marks == before


@pytest.mark.parametrize("guess", ["ebb:", "", "ebb:ebb"])
def test_a_guessed_secret_is_refused(guess: str, target: Victim, other_user: OtherUser) -> None:
    header = f"authorization: Basic {base64.b64encode(guess.encode()).decode()}"
    asked = (*JSON, "-H", header, "-d", "{}")
    assert status(other_user, target, "POST", "flow_runs/filter", *asked) == "401"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example"])
def test_another_host_is_refused_even_by_the_health_check(
    host: str, target: Victim, other_user: OtherUser
) -> None:
    assert status(other_user, target, "GET", "health", "-H", f"host: {host}") == "403"
    assert status(other_user, target, "GET", "health") == "200"


def test_another_user_cannot_read_the_secret(
    target: Victim, home_of_module: Path, other_user: OtherUser
) -> None:
    file = auth_file(home_of_module)
    assert file.exists()
    found = other_user.run("cat", str(file))
    assert (found.returncode, found.stdout) == (1, "")


def test_secret_is_in_no_command_line_that_others_see(
    target: Victim, home_of_module: Path, other_user: OtherUser
) -> None:
    secret = auth_file(home_of_module).read_text().strip()
    seen = other_user.run("sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null; true").stdout
    assert "ebbtide.flows.prefect_server.app:create" in seen
    assert secret not in seen


def test_owner_may_do_it_all(target: Victim) -> None:
    """What was refused above was so for want of the secret."""
    assert target.ask("flow_runs/filter", {})
    assert target.ask("admin/settings")
