"""What a long build says while it runs."""

from __future__ import annotations

import os
from pathlib import Path

from tests.kubernetes.lab import binaries


def test_long_build_tells_how_far_it_is(tmp_path: Path) -> None:
    gate, told = tmp_path / "gate", []
    os.mkfifo(gate)

    def tell(done: int) -> None:
        told.append(done)
        if done == 2 and told.count(2) == 1:
            gate.write_text("go on\n")

    script = f"echo one >&2; echo two >&2; cat {gate} >&2"
    ended = binaries.follow(["sh", "-c", script], tmp_path, tell, every_s=0.05)
    assert ended == (0, "one\ntwo\ngo on\n")
    assert 2 in told


def test_build_that_fails_gives_its_last_words(tmp_path: Path) -> None:
    words = ["sh", "-c", "echo no such package >&2; exit 3"]
    assert binaries.follow(words, tmp_path, tell=lambda done: None) == (3, "no such package\n")
