"""Prefect's UI as a person uses it: form, run, artifacts, cancel, infrastructure.

With ``EBB_SCREENSHOTS=folder`` the pages are kept as pictures, as those of ``docs/images`` were.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page

from ebbtide.flows.prefect_server import server
from ebbtide.infra.models.ids import RunName
from tests.browser import chromium
from tests.helpers import wait_until
from tests.stack.prefect import Stack


@pytest.fixture(scope="module")
def page(stack: Stack) -> Iterator[Page]:
    """One tab for all tests of this module, let in as `ebb open` does."""
    with chromium() as browser:
        tab = browser.new_page()
        found = server.running(stack.home)
        assert found is not None
        tab.goto(found.open_url())
        tab.wait_for_url("**/dashboard**")
        yield tab


def keep(page: Page, name: str) -> None:
    """A picture of the page, when pictures are wanted."""
    folder = os.environ.get("EBB_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png")


def field(page: Page, label: str) -> Locator:
    """The input under a label of the form."""
    named = page.locator("label", has_text=re.compile(rf"^{label}"))
    box = page.locator(".p-label").filter(has=named).last.locator(".p-label__body")
    return box.locator("input,textarea").first


def form(stack: Stack, page: Page) -> None:
    """The form of run-job."""
    id_ = stack.ask("deployments/name/run-job/run-job")["id"]
    page.goto(f"{stack.info.ui_url}/deployments/deployment/{id_}/run")
    page.get_by_text("Max Workers").wait_for()


def submitted(stack: Stack, page: Page, name: str) -> str:
    """Press the button; gives the flow run's id, once there is one."""
    page.get_by_role("button", name="Submit").click()
    named = {"flow_runs": {"name": {"any_": [name]}}}
    (run,) = wait_until(lambda: stack.ask("flow_runs/filter", named), 30, "there is a flow run")
    return str(run["id"])


def test_filled_form_starts_a_run_that_is_watched_to_its_end(stack: Stack, page: Page) -> None:
    form(stack, page)
    field(page, "Run Name").fill("typed-in-the-form")
    field(page, "program").fill("hello")
    field(page, "Max Workers").fill("3")
    keep(page, "form")
    id_ = submitted(stack, page, "typed-in-the-form")
    page.goto(f"{stack.info.ui_url}/runs/flow-run/{id_}")
    page.get_by_text("more workers came").wait_for()
    keep(page, "run")
    page.get_by_text("Completed", exact=True).first.wait_for()
    spec = stack.run_of(id_)["spec"]
    assert '"max_workers": 3' in spec or '"max_workers":3' in spec


def test_artifacts_of_the_run_are_its_receipt_its_plot_and_its_dashboard(
    stack: Stack, page: Page
) -> None:
    run = stack.ledger.run(RunName("typed-in-the-form"))
    assert run is not None
    assert run.flow_run_id is not None
    page.goto(f"{stack.info.ui_url}/runs/flow-run/{run.flow_run_id}")
    page.get_by_text("Artifacts", exact=True).first.click()
    for name in ("receipt", "workers", "dashboard", "progress"):
        page.get_by_text(name, exact=True).first.wait_for()
    artifacts = stack.artifacts(run.flow_run_id)
    page.goto(f"{stack.info.ui_url}/artifacts/artifact/{artifacts['workers']['id']}")
    plot = page.locator("img[alt=workers]")
    plot.wait_for()
    assert plot.evaluate("image => image.naturalWidth") > 100
    keep(page, "workers")
    page.goto(f"{stack.info.ui_url}/artifacts/artifact/{artifacts['receipt']['id']}")
    page.get_by_text("worker-seconds").first.wait_for()
    keep(page, "receipt")


def test_form_refuses_a_number_out_of_bounds(stack: Stack, page: Page) -> None:
    form(stack, page)
    field(page, "Run Name").fill("refused")
    field(page, "Max Workers").fill("0")
    page.get_by_role("button", name="Submit").click()
    page.get_by_text(re.compile("greater than|minimum")).first.wait_for()
    assert stack.ask("flow_runs/filter", {"flow_runs": {"name": {"any_": ["refused"]}}}) == []


def test_button_cancels_a_run_and_nothing_is_left(stack: Stack, page: Page, tmp_path: Path) -> None:
    id_ = stack.start(
        "run-job/run-job",
        program="waits.py",
        arguments=str(tmp_path / "go"),
        cluster={"framework": "none"},
    )
    stack.has_started(id_)
    page.goto(f"{stack.info.ui_url}/runs/flow-run/{id_}")
    page.get_by_role("button", name="Cancel").click()
    page.locator(".p-modal").get_by_role("button", name="Confirm").click()
    page.get_by_text("Cancelled", exact=True).first.wait_for()
    stack.nothing_held(id_)


def test_infrastructure_page_shows_who_runs_where(stack: Stack, page: Page, tmp_path: Path) -> None:
    arguments, cluster = str(tmp_path / "go"), {"framework": "dask"}
    id_ = stack.start("run-job/run-job", program="waits.py", arguments=arguments, cluster=cluster)
    stack.has_started(id_)
    name = stack.run_of(id_)["name"]
    latest = {"artifacts": {"key": {"any_": ["infrastructure"]}}, "sort": "CREATED_DESC"}

    def shown() -> str | None:
        found = stack.ask("artifacts/filter", latest)
        return found[0]["id"] if found and name in found[0]["data"] else None

    artifact = wait_until(shown, 60, "the page has been refreshed")
    page.goto(f"{stack.info.ui_url}/artifacts/artifact/{artifact}")
    page.get_by_role("cell", name=name).first.wait_for()
    keep(page, "infrastructure")
    (tmp_path / "go").touch()
    stack.ended(id_)
