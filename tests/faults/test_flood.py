"""A hundred thousand lines a second: shown in full, kept in part, and in nobody's way."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.local import marks, tree
from tests.faults.conftest import Note
from tests.faults.stage import ITS_CODE, Stage
from tests.helpers import wait_until

LINES_PER_S, SECONDS = 100_000, 8
LINE = "x" * 60
MOST_CORES = {"supervisor": 0.2, "flow": 0.7, "viewer": 0.7}
"""Each may take so much of a slow core, as an average over the flood."""
MOST_BYTES = {"supervisor": 100 * 2**20, "flow": 400 * 2**20, "viewer": 200 * 2**20}

FLOOD = f"""
import sys, time
began = time.monotonic()
for second in range({SECONDS}):
    for part in range(10):
        first = {LINES_PER_S} * second + {LINES_PER_S // 10} * part
        lines = range(first, first + {LINES_PER_S // 10})
        sys.stdout.write("".join(f"{{number:09}} {LINE}\\n" for number in lines))
        sys.stdout.flush()
        left = began + second + (part + 1) / 10 - time.monotonic()
        time.sleep(max(0, left))
print("the very last line")
"""


@dataclass(slots=True)
class Meter:
    """Processes while they live."""

    pids: dict[str, int]
    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_bytes: dict[str, int] = field(default_factory=dict)

    def look(self) -> None:
        for name, pid in self.pids.items():
            process = tree.process_of(pid)
            if process is None or process.gone:
                continue
            self.cpu_s[name] = process.cpu_s
            peak = re.search(r"VmRSS:\s+(\d+)", _status(pid))
            if peak:
                now = int(peak[1]) * 1024
                self.peak_bytes[name] = max(self.peak_bytes.get(name, 0), now)


def _status(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/status") as file:
            return file.read()
    except OSError:
        return ""


def test_a_flood_is_shown_and_kept_and_disturbs_nobody(
    stage: Stage, prefect_environment: Mapping[str, str], note: Note
) -> None:
    neighbour = stage.start(stage.spec(), prefect=prefect_environment)
    stage.wait_for_program()
    (stage.work / "flood.py").write_text(FLOOD)
    argv = [stage.ebb, "run", "--framework", "none", "--name", "flood", "--max-output", "8Mi"]
    with (stage.work / "screen").open("wb") as screen:
        viewer = stage.popen(
            [*argv, "flood.py"], prefect_environment, cwd=stage.work, stdout=screen
        )
    meter = Meter({"viewer": viewer.pid})
    log = stage.home / "runs" / "flood" / "stdout.log"
    wait_until(lambda: log.exists() and log.stat().st_size, 60, "it prints")
    meter.pids |= {"supervisor": _supervisor(stage), "flow": stage.run_row("flood")["flow_pid"]}
    meter.look()
    before, began = dict(meter.cpu_s), time.monotonic()

    def over() -> bool:
        meter.look()
        return viewer.poll() is not None

    wait_until(over, 120, "the flood has ended")
    took_s = time.monotonic() - began
    for name, most in MOST_CORES.items():
        cores = (meter.cpu_s[name] - before[name]) / took_s
        note(100 * cores, f"% of a core: {name}, {meter.peak_bytes[name] / 2**20:.0f} MiB")
        assert cores < most, name
        assert meter.peak_bytes[name] < MOST_BYTES[name], name
    assert viewer.returncode == 0
    shown = (stage.work / "screen").read_bytes().splitlines()
    assert len(shown) == LINES_PER_S * SECONDS + 1, "the terminal shows all"
    assert log.stat().st_blocks * 512 <= 8 * 2**20
    assert neighbour.poll() is None
    stage.let_program_end()
    assert stage.wait_for_end(neighbour) == ITS_CODE
    stage.wait_for_nothing()


def _supervisor(stage: Stage) -> int:
    found = marks.marked(stage.home, ClusterId("flood-1"))
    return next(each.pid for each in found if each.role == "supervisor")
