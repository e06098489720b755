"""``ebb up`` itself: said twice it is one, it is shown as held, and its history survives."""

from __future__ import annotations

import json
import subprocess

from tests.stack.prefect import EBB, Stack


def ebb(stack: Stack, *words: str) -> str:
    return subprocess.run(
        [*EBB, *words],
        cwd=stack.place,
        env=stack.environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def test_up_again_is_the_same(stack: Stack) -> None:
    before = stack.info
    assert json.loads(ebb(stack, "up", "--json"))["ui_url"] == before.ui_url
    assert stack.info.pid == before.pid


def test_held_says_until_when(stack: Stack) -> None:
    assert json.loads(ebb(stack, "held", "--json"))["stack"]["pid"] == stack.info.pid


def test_history_survives_down_and_up(stack: Stack) -> None:
    id_ = stack.start("run-job/run-job", program="quick.py", cluster={"framework": "none"})
    stack.ended(id_)
    ebb(stack, "down")
    ebb(stack, "up", "--json", "--limit", "8")
    assert stack.state(id_) == "Completed"
