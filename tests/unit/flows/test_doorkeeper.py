"""Which requests may come to Prefect's server: pure."""

from __future__ import annotations

from typing import Any

import pytest

from ebbtide.flows.prefect_server.doorkeeper import LOOPBACK_HOSTS, refusal

OWN = "127.0.0.1:4200"


def scope(path: str = "/api/flows/", *, method: str = "POST", **headers: str) -> dict[str, Any]:
    named = {"host": OWN, **{name.replace("_", "-"): value for name, value in headers.items()}}
    pairs = [(name.encode(), value.encode()) for name, value in named.items() if value]
    return {"type": "http", "scheme": "http", "method": method, "path": path, "headers": pairs}


@pytest.mark.parametrize("host", [OWN, "localhost:4200", "[::1]:4200", "LOCALHOST", "localhost."])
def test_loopback_by_any_port_is_this_server(host: str) -> None:
    assert refusal(scope(host=host), LOOPBACK_HOSTS) == ""


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "10.0.0.1", "["],
)
def test_another_host_is_refused(host: str) -> None:
    assert "this server is called" in refusal(scope(host=host), LOOPBACK_HOSTS)


def test_two_hosts_are_refused() -> None:
    twice = scope()
    twice["headers"].append((b"host", b"evil.example"))
    assert refusal(twice, LOOPBACK_HOSTS)


@pytest.mark.parametrize("origin", ["http://127.0.0.1:4200", "HTTP://127.0.0.1:4200"])
def test_own_page_may_ask(origin: str) -> None:
    asked = scope(origin=origin, sec_fetch_site="same-origin")
    assert refusal(asked, LOOPBACK_HOSTS) == ""


@pytest.mark.parametrize(
    "origin",
    ["null", "http://evil.example", "http://127.0.0.1:9999", "https://127.0.0.1:4200", "file://"],
)
def test_page_of_another_origin_may_not(origin: str) -> None:
    assert "another origin" in refusal(scope(origin=origin), LOOPBACK_HOSTS)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_request_without_an_origin_that_a_foreign_page_made_is_refused(site: str) -> None:
    asked = scope(method="GET", sec_fetch_site=site, sec_fetch_mode="no-cors")
    assert refusal(asked, LOOPBACK_HOSTS)


def test_link_to_the_pages_may_be_followed_but_not_to_the_api_nor_into_a_frame() -> None:
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    tab, frame = {**link, "sec_fetch_dest": "document"}, {**link, "sec_fetch_dest": "iframe"}
    assert refusal(scope("/runs", method="GET", **tab), LOOPBACK_HOSTS) == ""
    assert refusal(scope("/api/docs", method="GET", **tab), LOOPBACK_HOSTS)
    assert refusal(scope("/runs", method="POST", **tab), LOOPBACK_HOSTS)
    assert refusal(scope("/runs", method="GET", **frame), LOOPBACK_HOSTS)


def test_websocket_of_another_origin_is_refused() -> None:
    asked = {**scope("/api/events/out", origin="http://evil.example"), "type": "websocket"}
    assert refusal({**asked, "scheme": "ws"}, LOOPBACK_HOSTS)
    own = {**scope("/api/events/out", origin=f"http://{OWN}"), "scheme": "ws"}
    assert refusal(own, LOOPBACK_HOSTS) == ""
