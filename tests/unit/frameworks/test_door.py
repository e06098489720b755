"""Who gets in at a cluster's pages, by method and headers."""

from __future__ import annotations

from email.message import Message

import pytest

from ebbtide.infra.frameworks.base import HeadInfo
from ebbtide.infra.frameworks.door import Door, basic, new_secret
from ebbtide.infra.platforms.local.layout import HEAD

SECRET = "s3cret"
THIS_MACHINE = (HEAD.host, *HEAD.page_hosts)
POD = ("10.0.0.7", "rose.jobs.svc", "10.1.0.0/16")
NAVIGATED = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


def status(method: str = "GET", *, secret: str | None = SECRET, **headers: str) -> int:
    """200, or what it is refused with."""
    message = Message()
    message["Host"] = headers.pop("Host", "127.0.0.1:8787")
    if secret is not None:
        message["Authorization"] = basic(secret)
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    refusal = Door(SECRET, THIS_MACHINE).refusal(method, message)
    return refusal.status if refusal else 200


def status_elsewhere(host: str) -> int:
    message = Message()
    message["Host"], message["Authorization"] = host, basic(SECRET)
    refusal = Door(SECRET, POD).refusal("GET", message)
    return refusal.status if refusal else 200


def test_who_knows_the_secret_comes_in() -> None:
    assert status() == status("POST") == 200


@pytest.mark.parametrize("secret", [None, "", "s3cre", "s3crets", "S3CRET", "s3cret\xff"])
def test_who_does_not_is_asked_for_it(secret: str | None) -> None:
    assert status(secret=secret) == 401


@pytest.mark.parametrize("value", ["Basic", "Bearer s3cret", "s3cret", "Basic ====", "\xff\xfe"])
def test_other_ways_to_say_it_are_not_taken(value: str) -> None:
    assert status(secret=None, Authorization=value) == 401


@pytest.mark.parametrize(
    "host", ["localhost:1", "LOCALHOST", "127.0.0.1", "127.1.0.1:9", "[::1]:8"]
)
def test_names_of_this_machine_are_known_at_any_port(host: str) -> None:
    assert status(Host=host) == 200


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "evil@127.0.0.1",
     "127.0.0.1:80,evil.example", "10.0.0.1", "127.0.0.1:80\n"],
)  # fmt: skip
def test_other_names_are_refused_to_who_knows_the_secret_too(host: str) -> None:
    """A page whose own name leads here (DNS rebinding) would be of the same origin."""
    assert status(Host=host) == 403


@pytest.mark.parametrize("host", ["10.0.0.7:8787", "Rose.jobs.svc", "10.1.2.3", "10.1.0.0:1"])
def test_door_elsewhere_is_known_by_the_names_it_was_given(host: str) -> None:
    assert status_elsewhere(host) == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8787", "[::1]", "10.0.0.8", "10.2.0.0"])
def test_door_elsewhere_is_known_by_no_other_name(host: str) -> None:
    assert status_elsewhere(host) == 403


def test_page_of_ours_comes_in() -> None:
    assert status("POST", Origin="http://127.0.0.1:8787", Sec_Fetch_Site="same-origin") == 200
    assert status(Upgrade="websocket", Origin="http://127.0.0.1:8787") == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:9999", "http://localhost:8787", "null", ""]
)
def test_page_of_another_origin_is_refused_with_what_the_browser_keeps(origin: str) -> None:
    assert status("POST", Origin=origin) == status(Upgrade="websocket", Origin=origin) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(("mode", "goal"), [("no-cors", "image"), ("navigate", "iframe")])
def test_part_of_a_page_of_another_origin_is_refused(site: str, mode: str, goal: str) -> None:
    """Another user's server on another port of 127.0.0.1 is of the same site."""
    fetch = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": goal}
    assert status(**fetch) == 403


def test_link_on_another_page_leads_here_and_a_form_does_not() -> None:
    assert status(**NAVIGATED, Sec_Fetch_Site="cross-site") == 200
    assert status("POST", **NAVIGATED, Sec_Fetch_Site="cross-site") == 403
    assert status(**NAVIGATED, Sec_Fetch_Site="cross-site", Upgrade="websocket") == 403


def test_every_secret_is_another_and_cannot_be_guessed() -> None:
    assert new_secret() != new_secret()
    assert len(new_secret()) >= 43


def test_secret_is_not_shown_with_the_head() -> None:
    shown = repr(HeadInfo(address="a", dashboard="b", status_url="c", secret="wordofthecluster"))
    assert "wordofthecluster" not in shown
