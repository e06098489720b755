"""What of a deployments.yaml is deployed again: the file's news, and what operators changed."""

from __future__ import annotations

from typing import Any

from ebbtide.flows.service.definitions import (
    Known,
    Schedule,
    Standing,
    changes,
    key_of,
    merged,
    unscheduled,
)

SAID: dict[str, Any] = {
    "name": "nightly",
    "tags": ["ebb"],
    "concurrency_limit": 1,
    "schedules": [{"cron": "30 4 * * *", "slug": "night"}],
    "triggers": [{"expect": ["x"]}],
}
STOOD = {"tags": ["ebb"], "concurrency_limit": {"limit": 1}}
KNOWN = Known(SAID, STOOD)
NIGHT = Schedule("1", "slug night", active=False)


def standing(**more: Any) -> Standing:
    return Standing(**{"fields": STOOD, "paused": False, **more})


def test_what_the_service_does_by_itself_has_no_active_schedule() -> None:
    house = {**SAID, "tags": ["ebb-house"]}
    (schedule,) = unscheduled(house)["schedules"]
    assert schedule == {"cron": "30 4 * * *", "slug": "night", "active": False}
    assert unscheduled(SAID) == SAID


def test_schedule_of_an_earlier_version_is_ended_and_one_that_was_resumed_stays() -> None:
    house = {**SAID, "tags": ["ebb-house"]}
    now = unscheduled(house)
    (there,) = standing(schedules=(Schedule("1", "slug night", active=True),)).schedules
    assert changes(now, Known(house, STOOD), [there]).patch == [("1", now["schedules"][0])]
    assert changes(now, Known(now, STOOD), [there]).patch == []


def test_schedules_are_never_in_what_is_deployed_again() -> None:
    assert "schedules" not in merged(SAID, KNOWN, standing())


def test_paused_deployment_stays_paused() -> None:
    assert merged(SAID, KNOWN, standing(paused=True))["paused"] is True


def test_deployment_that_was_resumed_stays_so() -> None:
    said = {**SAID, "paused": True}
    assert merged(said, Known(said, STOOD), standing())["paused"] is False


def test_pause_that_is_new_in_the_file_pauses() -> None:
    assert merged({**SAID, "paused": True}, KNOWN, standing())["paused"] is True


def test_changed_limit_is_kept_and_what_nobody_changed_is_the_files() -> None:
    now = standing(fields={**STOOD, "concurrency_limit": {"limit": 5}})
    copy = merged({**SAID, "tags": ["ebb", "new"]}, KNOWN, now)
    assert copy["concurrency_limit"] == {"limit": 5}
    assert copy["tags"] == ["ebb", "new"]


def test_what_the_file_says_anew_wins() -> None:
    now = standing(fields={**STOOD, "concurrency_limit": {"limit": 5}})
    assert merged({**SAID, "concurrency_limit": 3}, KNOWN, now)["concurrency_limit"] == 3


def test_what_was_deployed_before_anything_was_remembered_is_kept() -> None:
    now = standing(fields={**STOOD, "concurrency_limit": None})
    assert merged(SAID, None, now)["concurrency_limit"] is None
    assert changes(SAID, None, [NIGHT]).patch == []


def test_disabled_automation_stays_disabled() -> None:
    copy = merged(SAID, KNOWN, standing(enabled={"nightly__automation_1": False}))
    assert copy["triggers"] == [{"expect": ["x"], "enabled": False}]


def test_file_that_says_what_it_said_changes_no_schedule() -> None:
    """Neither one that was removed, nor one that was edited or added."""
    for there in ([], [NIGHT], [NIGHT, Schedule("2", "cron 1 1 * * *", active=True)]):
        found = changes(SAID, KNOWN, there)
        assert (found.patch, found.create, found.delete) == ([], [], [])


def test_changed_schedule_is_patched_so_that_its_pause_stays() -> None:
    later = {"cron": "0 5 * * *", "slug": "night"}
    found = changes({**SAID, "schedules": [later]}, KNOWN, [NIGHT])
    assert found.patch == [("1", later)]
    assert found.create == []


def test_new_schedule_in_the_place_of_a_paused_one_is_paused() -> None:
    other = {"cron": "0 5 * * *"}
    found = changes({**SAID, "schedules": [other]}, KNOWN, [NIGHT])
    assert found.delete == ["1"]
    assert found.create == [(other, False)]


def test_new_schedule_is_active_and_an_added_one_is_left_alone() -> None:
    added, other = Schedule("2", "cron 1 1 * * *", active=False), {"interval": 60, "slug": "often"}
    found = changes({**SAID, "schedules": [*SAID["schedules"], other]}, KNOWN, [NIGHT, added])
    assert (found.patch, found.delete) == ([], [])
    assert found.create == [(other, True)]


def test_interval_is_the_same_in_the_file_and_in_prefect() -> None:
    assert key_of({"interval": 600}) == key_of({"interval": 600.0, "slug": None})
