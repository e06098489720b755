from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.platforms.kubernetes.here import Pod


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    """A pod of this machine; what runs in it ends with the test."""
    made = Pod(tmp_path)
    yield made
    made.end()
