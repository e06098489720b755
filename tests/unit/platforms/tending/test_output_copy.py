"""The copy of a program's output: who has been told to stop writes nothing more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.platforms.kubernetes.shipping.collecting import Piece
from ebbtide.infra.platforms.kubernetes.tending import output
from ebbtide.infra.platforms.kubernetes.tending.output import OutputCopy
from tests.helpers import wait_until


def test_what_comes_after_it_was_stopped_is_left_to_who_copies_now(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stopped = threading.Event()

    def follow(*_: Any) -> Iterator[Piece]:
        yield Piece(stream="stdout", offset=0, data=b"mine\n")
        stopped.wait(10)
        yield Piece(stream="stdout", offset=5, data=b"another's\n")

    monkeypatch.setattr(output, "follow_to_end", follow)
    api: Any = type("Api", (), {"run": None})()
    copy = OutputCopy(api, "a-1-driver", tmp_path, lambda _: None)
    log = tmp_path / "stdout.log"
    wait_until(lambda: log.read_text() == "mine\n", 5, "the first has come")
    copy._stop.set()
    stopped.set()
    copy.finish(5)
    assert log.read_text() == "mine\n"
