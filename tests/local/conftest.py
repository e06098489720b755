"""What the tests with real clusters share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _workers_import_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """``tests.load`` comes to workers as users' modules do."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
