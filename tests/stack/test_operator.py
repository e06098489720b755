"""What an operator has changed in Prefect is there after the next ``ebb up``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stack.prefect import Stack
from tests.stack.test_up import ebb

NIGHTLY = "nightly-pipeline/nightly-pipeline"
MINE = "reap/mine"
FILE: dict[str, Any] = {
    "pull": [],
    "deployments": [
        {
            "name": "mine",
            "entrypoint": "ebbtide.flows.reap.reap",
            "tags": ["one"],
            "schedules": [
                {"cron": "1 1 * * *", "slug": "first"},
                {"cron": "2 2 * * *", "slug": "second"},
                {"cron": "3 3 * * *", "slug": "third"},
            ],
        }
    ],
}


def deployed(stack: Stack, name: str) -> dict[str, Any]:
    found: dict[str, Any] = stack.ask(f"deployments/name/{name}")
    return found


def schedules(stack: Stack, name: str) -> dict[str, tuple[str, bool]]:
    """Each one's cron and whether it is active."""
    found = deployed(stack, name)["schedules"]
    return {one["slug"]: (one["schedule"]["cron"], one["active"]) for one in found}


def again(stack: Stack) -> None:
    ebb(stack, "down")
    ebb(stack, "up", "--json", "--limit", "8")


def write(stack: Stack, content: Any) -> Path:
    file = stack.place / "deployments.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.fixture(scope="module")
def changed(stack: Stack) -> Iterator[Stack]:
    """The stack after an operator's changes, and then down and up."""
    file = write(stack, FILE)
    again(stack)
    nightly, mine = deployed(stack, NIGHTLY), deployed(stack, MINE)
    (night,) = nightly["schedules"]
    first, second, third = sorted(mine["schedules"], key=lambda one: str(one["schedule"]["cron"]))
    where = f"deployments/{mine['id']}"
    stack.tell("PATCH", f"deployments/{nightly['id']}/schedules/{night['id']}", {"active": False})
    stack.tell("PATCH", f"deployments/{nightly['id']}", {"concurrency_limit": 7})
    stack.tell("PATCH", f"{where}/schedules/{first['id']}", {"active": False})
    edited = {"schedule": {"cron": "9 9 * * *"}}
    stack.tell("PATCH", f"{where}/schedules/{second['id']}", edited)
    stack.tell("DELETE", f"{where}/schedules/{third['id']}")
    added = {"schedule": {"cron": "4 4 * * *"}, "slug": "added", "active": True}
    stack.ask(f"{where}/schedules", [added])
    stack.tell("PATCH", where, {"paused": True})
    (automation,) = stack.ask(
        "automations/filter", {"automations": {"name": {"any_": ["reap-after-a-crash"]}}}
    )
    stack.tell("PATCH", f"automations/{automation['id']}", {"enabled": False})
    stack.pause_pool(paused=True)
    again(stack)
    yield stack
    file.unlink()
    stack.pause_pool(paused=False)
    stack.tell("DELETE", where)
    (automation,) = stack.ask(
        "automations/filter", {"automations": {"name": {"any_": ["reap-after-a-crash"]}}}
    )
    stack.tell("PATCH", f"automations/{automation['id']}", {"enabled": True})
    stack.tell("PATCH", f"deployments/{nightly['id']}", {"concurrency_limit": 1})


def test_paused_schedule_stays_paused(changed: Stack) -> None:
    assert schedules(changed, NIGHTLY) == {"nightly": ("30 4 * * *", False)}


def test_edited_added_and_removed_schedules_stay_so(changed: Stack) -> None:
    assert schedules(changed, MINE) == {
        "first": ("1 1 * * *", False),
        "second": ("9 9 * * *", True),
        "added": ("4 4 * * *", True),
    }


def test_paused_deployment_changed_limit_and_disabled_automation_stay_so(changed: Stack) -> None:
    assert deployed(changed, MINE)["paused"] is True
    assert deployed(changed, NIGHTLY)["global_concurrency_limit"]["limit"] == 7
    assert deployed(changed, NIGHTLY)["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    (automation,) = changed.ask(
        "automations/filter", {"automations": {"name": {"any_": ["reap-after-a-crash"]}}}
    )
    assert automation["enabled"] is False


def test_what_the_service_does_by_itself_has_no_active_schedule(changed: Stack) -> None:
    found = [deployed(changed, f"{name}/{name}") for name in ("reap", "infrastructure")]
    assert [one["active"] for each in found for one in each["schedules"]] == [False, False]


def test_pool_that_an_operator_paused_stays_paused(changed: Stack) -> None:
    assert changed.ask(f"work_pools/{changed.info.pool}")["is_paused"] is True


def test_pause_of_ebb_down_is_undone_and_what_the_file_says_anew_wins(changed: Stack) -> None:
    changed.pause_pool(paused=False)
    news = json.loads(json.dumps(FILE))
    news["deployments"][0]["tags"] = ["two"]
    news["deployments"][0]["schedules"] = [
        {"cron": "5 5 * * *", "slug": "first"},
        {"cron": "6 6 * * *", "slug": "fourth"},
    ]
    write(changed, news)
    again(changed)
    assert changed.ask(f"work_pools/{changed.info.pool}")["is_paused"] is False
    assert deployed(changed, MINE)["tags"] == ["two"]
    assert schedules(changed, MINE) == {
        "first": ("5 5 * * *", False),
        "fourth": ("6 6 * * *", True),
        "added": ("4 4 * * *", True),
    }
