"""Dask's quick-starts on pods: they print what they do on a laptop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.conftest import small
from tests.contract.rig import Rig

PROGRAM = Path(__file__).parent / "programs" / "dask_quickstarts.py"
EXAMPLES = ["futures", "frames", "arrays", "bags", "delayed", "kept"]
_TIMEOUT_S = 120


@pytest.mark.long
def test_quick_starts_print_what_they_do_on_a_laptop(rig: Rig, tmp_path: Path) -> None:
    laptop = subprocess.run(
        [sys.executable, str(PROGRAM)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    outcome = rig.carried_out(rig.run("quick-starts", small("dask"), PROGRAM))
    assert outcome.error is None, outcome.errors()
    assert outcome.output() == laptop.stdout
    assert [line.split()[0] for line in laptop.stdout.splitlines()] == EXAMPLES
