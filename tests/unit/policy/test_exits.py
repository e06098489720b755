"""How a process ended, in words."""

from __future__ import annotations

import pytest

from ebbtide.infra.policy.explain.exits import exit_sentence


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exited with 0"),
        (3, "exited with 3"),
        (128, "exited with 128"),
        (-15, "was killed by SIGTERM (143)"),
        (143, "exited with 143"),
        (255, "exited with 255"),
        (-60, "was killed by signal 60 (188)"),
        (None, "ended, its exit code is not known"),
    ],
)
def test_exit_is_told_by_its_code_or_the_name_of_the_signal(code: int | None, words: str) -> None:
    assert exit_sentence(code) == words


def test_fault_in_native_code_is_named() -> None:
    assert exit_sentence(-11).startswith("was killed by SIGSEGV (139): a fault in native code")


@pytest.mark.parametrize("code", [-9, 137])
def test_sigkill_mentions_memory_also_through_a_shell(code: int) -> None:
    words = exit_sentence(code)
    assert "SIGKILL" in words
    assert "137" in words
    assert "memory" in words
