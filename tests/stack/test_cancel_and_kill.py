"""Cancelled or killed at any step: Prefect says so, and nothing is left."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from ebbtide.infra.models.phases import Step
from tests.helpers import wait_until
from tests.stack.prefect import Stack


def held_at(stack: Stack, step: Step, tmp_path: Path) -> str:
    """A flow run that stands still at this step."""
    mark = tmp_path / "mark"
    id_ = stack.start("held-run/held-run", step=step.value, mark=str(mark))
    try:
        wait_until(mark.exists, 180, f"it has come to {step.value}")
    except AssertionError as error:
        told = "\n".join(stack.logs(id_))
        raise AssertionError(f"{error}; it is {stack.flow_run(id_)['state']}\n{told}") from None
    return id_


@pytest.mark.parametrize("step", list(Step))
def test_cancelled_at_any_step_it_is_cancelled_and_holds_nothing(
    stack: Stack, step: Step, tmp_path: Path
) -> None:
    id_ = held_at(stack, step, tmp_path)
    stack.set_state(id_, "CANCELLING")
    assert stack.ended(id_)["state"]["name"] == "Cancelled"
    stack.nothing_held(id_)
    wait_until(lambda: stack.run_of(id_)["phase"] == "Cancelled", 30, "the ledger says so too")


@pytest.mark.parametrize("step", list(Step))
def test_killed_at_any_step_it_is_crashed_and_holds_nothing(
    stack: Stack, step: Step, tmp_path: Path
) -> None:
    id_ = held_at(stack, step, tmp_path)
    os.kill(stack.flow_pid(id_), signal.SIGKILL)
    assert stack.ended(id_)["state"]["name"] == "Crashed"
    stack.nothing_held(id_)
