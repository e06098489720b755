"""A child that is asked to ends with its parent, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ebbtide.infra.processes.identity import alive
from tests.conftest import ROOT
from tests.helpers import wait_until

PARENT = """
import os, signal, subprocess, sys
from ebbtide.infra.processes.starting import end_with_parent
number = signal.Signals(int(sys.argv[1]))
child = subprocess.Popen(["sleep", "60"], preexec_fn=end_with_parent(number))
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_child_ends_when_its_parent_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    program = tmp_path / "parent.py"
    program.write_text(PARENT)
    argv, environment = [sys.executable, str(program), str(int(number))], dict(os.environ)
    environment["PYTHONPATH"] = str(ROOT)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
        wait_until(lambda: not alive(child), 10, "the child ends too")
