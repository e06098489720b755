"""A web page that the owner's browser shows beside Prefect's UI: Chromium, another origin."""

from __future__ import annotations

import contextlib
import stat
import webbrowser
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Error, Page

from ebbtide.flows.cli.main import main
from ebbtide.flows.prefect_server.api import auth_file
from tests.browser import chromium, other_origin
from tests.security.victim import Victim, victim

REBOUND = "rebound.example"
"""A name of the attacker's that resolves to loopback (DNS rebinding)."""
NEVER = "nothing came"
FLOW_RUN = "01234567-89ab-4cde-8f01-23456789abcd"
OF_FLOW_RUN = f"/runs/flow-run/{FLOW_RUN}"
DEPLOYMENTS = """async () => {
    const secret = localStorage.getItem('prefect-password');
    const answer = await fetch('/api/deployments/filter', {method: 'POST', body: '{}',
        headers: {'content-type': 'application/json', authorization: `Basic ${secret}`}});
    return answer.ok ? (await answer.json()).map(one => one.name) : [`${answer.status}`] }"""
"""What Prefect's UI does for its owner: names of deployments, or the status of the refusal."""

ATTACKS = {
    "simple request without a content type": """
        await fetch(api + `/deployments/${id}/create_flow_run`, {method: 'POST', mode: 'no-cors',
            body: new Blob([JSON.stringify({parameters: {program: 'x.sh'}})])})""",
    "request with a body as text": """
        await fetch(api + `/deployments/${id}/create_flow_run`, {method: 'POST', mode: 'no-cors',
            body: '{}'})""",
    "request without a body": """
        await fetch(api + `/deployments/${id}/pause_deployment`,
            {method: 'POST', mode: 'no-cors'})""",
    "request with the browser's credentials": """
        await fetch(api + `/deployments/${id}/pause_deployment`, {method: 'POST', mode: 'no-cors',
            credentials: 'include'})""",
    "beacon": "navigator.sendBeacon(api + `/deployments/${id}/pause_deployment`)",
    "form": """
        const form = document.createElement('form');
        form.method = 'POST'; form.action = api + `/deployments/${id}/pause_deployment`;
        form.target = 'frame'; const frame = document.createElement('iframe');
        frame.name = 'frame'; document.body.append(frame, form);
        const sent = new Promise(done => frame.onload = done); form.submit(); await sent""",
}
READS = {
    "cross-origin read": "(await fetch(api + '/flow_runs/filter', {method: 'POST',"
    " headers: {'content-type': 'application/json'}, body: '{}'})).text()",
    "cross-origin health": "(await fetch(api + '/health')).text()",
    "websocket": """new Promise((done, failed) => {
        const socket = new WebSocket(api.replace('http', 'ws') + '/events/out', 'prefect');
        socket.onopen = () => done('open'); socket.onerror = failed})""",
    "frame": """new Promise((done, failed) => {
        const frame = document.createElement('iframe'); frame.src = api.replace('/api', '/');
        frame.onload = () => { try { done(frame.contentDocument.title) } catch (e) { failed(e) } };
        document.body.append(frame)})""",
}


@pytest.fixture(scope="module")
def target(home_of_module: Path) -> Iterator[Victim]:
    yield from victim(home_of_module)


@pytest.fixture(scope="module")
def browser(target: Victim) -> Iterator[BrowserContext]:
    """The owner's, who is signed in to Prefect's UI."""
    with chromium("--host-resolver-rules=MAP *.example 127.0.0.1") as context:
        tab = context.new_page()
        tab.goto(target.info.open_url())
        tab.wait_for_url("**/dashboard**")
        yield context


@pytest.fixture(scope="module", params=["127.0.0.1", "evil.example"])
def page(request: pytest.FixtureRequest, browser: BrowserContext) -> Iterator[Page]:
    """The attacker's: on another port of loopback (another user's server), and on another site."""
    with other_origin() as url:
        tab = browser.new_page()
        tab.goto(url.replace("127.0.0.1", request.param))
        yield tab
        tab.close()


def attempt(page: Page, target: Victim, script: str) -> str:
    """What the script got; its failure is what is hoped for."""
    names = f"const api = '{target.info.url}', id = '{target.deployment}';"
    with contextlib.suppress(Exception):
        return str(page.evaluate(f"async () => {{ {names} {script} }}"))
    return NEVER


@pytest.mark.parametrize("attack", ATTACKS)
def test_page_of_another_origin_changes_nothing(attack: str, page: Page, target: Victim) -> None:
    before = target.marks
    attempt(page, target, ATTACKS[attack])
    assert target.marks == before


@pytest.mark.parametrize("attack", READS)
def test_page_of_another_origin_reads_nothing(attack: str, page: Page, target: Victim) -> None:
    assert attempt(page, target, f"return {READS[attack]}") == NEVER


def test_name_that_was_rebound_to_loopback_reads_nothing(
    browser: BrowserContext, target: Victim
) -> None:
    tab = browser.new_page()
    answer = tab.goto(target.info.url.replace("127.0.0.1", REBOUND) + "/health")
    assert answer is not None
    assert answer.status == 403
    assert "this server is called" in answer.text()


def test_page_in_a_frame_stays_empty(page: Page, target: Victim) -> None:
    """Nobody can be made to click in the UI without seeing it."""
    page.evaluate(
        "url => { const f = document.createElement('iframe'); f.src = url; f.id = 'ui';"
        " document.body.append(f); return new Promise(done => f.onload = done) }",
        target.info.ui_url,
    )
    frame = page.frame_locator("#ui")
    assert frame.locator("#app").count() == 0


def test_owner_is_signed_in_beside_it(browser: BrowserContext, target: Victim) -> None:
    """What was refused above was so for its origin: the same browser works on the UI's own page."""
    tab = browser.new_page()
    tab.goto(f"{target.info.ui_url}/deployments")
    assert "run-job" in tab.evaluate(DEPLOYMENTS)


def test_pages_of_the_ui_ask_nobody_else(browser: BrowserContext, target: Victim) -> None:
    """Prefect's pages would ask an analytics service."""
    tab = browser.new_page()
    tab.goto(f"{target.info.ui_url}/v2/dashboard")
    with other_origin() as elsewhere, pytest.raises(Error, match="Failed to fetch"):
        tab.evaluate("url => fetch(url, {mode: 'no-cors'}).then(() => 'asked')", elsewhere)
    assert "run-job" in tab.evaluate(DEPLOYMENTS)


def test_browser_without_the_secret_is_asked_for_it(
    browser: BrowserContext, target: Victim
) -> None:
    assert browser.browser is not None
    stranger = browser.browser.new_context()
    tab = stranger.new_page()
    tab.goto(f"{target.info.ui_url}/deployments")
    tab.wait_for_url("**/login**")
    stranger.close()


@pytest.mark.parametrize(("asked", "reached"), [(FLOW_RUN, OF_FLOW_RUN), ("/evil", "/dashboard")])
def test_ebb_open_leads_on_to_a_flow_run_and_nowhere_else(
    target: Victim, browser: BrowserContext, asked: str, reached: str
) -> None:
    assert browser.browser is not None
    stranger = browser.browser.new_context()
    tab = stranger.new_page()
    tab.goto(target.info.open_url(asked))
    tab.wait_for_url(f"**{reached}**")
    assert tab.url.startswith(target.info.ui_url)
    stranger.close()


def test_ebb_open_signs_in_without_the_secret_on_its_command_line(
    target: Victim,
    home_of_module: Path,
    browser: BrowserContext,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    called: list[str] = []

    def opens(url: str) -> bool:
        called.append(url)
        return True

    monkeypatch.setenv("BROWSER", "any")
    monkeypatch.setattr(webbrowser, "open", opens)
    assert main(["open"]) == 0
    secret = auth_file(home_of_module).read_text().strip()
    assert secret not in str([called, capsys.readouterr()])
    page = Path(called[0].removeprefix("file://"))
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert browser.browser is not None
    stranger = browser.browser.new_context()
    tab = stranger.new_page()
    tab.goto(called[0])
    tab.wait_for_url("**/dashboard**")
    stranger.close()
