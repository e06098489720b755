"""The wrapper of a program in its pod: exit codes, signals, what it tells, and its output."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from ebbtide.infra.platforms.kubernetes.inside.ending import MESSAGE_BYTES, message
from ebbtide.infra.platforms.kubernetes.shipping.collecting import Followed, follow
from tests.helpers import wait_until
from tests.unit.platforms.kubernetes.here import Pod

PRINTS_BOTH = """
import sys
for number in range(3000):
    print("out", number)
    print("err", number, file=sys.stderr)
sys.exit(3)
"""
WAITS_FOR_A_FILE = """
import pathlib, time
print("first")
while not pathlib.Path("go-on").exists():
    time.sleep(0.01)
print("second")
"""
SIGTERM_IS_IGNORED = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""


def told(pod: Pod) -> dict[str, object]:
    found: dict[str, object] = json.loads(pod.termination.read_text())
    return found


def lines(stream: str) -> bytes:
    return "".join(f"{stream} {number}\n" for number in range(3000)).encode()


def test_both_outputs_come_whole_and_apart_with_the_exit_code(pod: Pod) -> None:
    wrapper = pod.python(PRINTS_BOTH)
    out, err = wrapper.communicate(timeout=20)
    found, seen = pod.output()
    assert found == {"stdout": lines("out"), "stderr": lines("err")}
    assert (out, err) == (lines("out"), lines("err"))
    assert wrapper.returncode == 3
    assert seen.end is not None
    assert seen.end["exit_code"] == told(pod)["exit_code"] == 3


def test_folder_for_what_its_framework_writes_is_there_before_it_begins(pod: Pod) -> None:
    folder = pod.folder / "artifacts" / "driver" / "eventlog"
    wrapper = pod.python(f"import os; print(os.path.isdir({str(folder)!r}))", history=str(folder))
    assert wrapper.communicate(timeout=20)[0] == b"True\n"


def test_who_comes_back_after_a_lost_connection_goes_on_at_the_same_byte(pod: Pod) -> None:
    pod.python(WAITS_FOR_A_FILE)
    seen = Followed()
    for piece in follow(pod.run, "driver", seen):
        if piece is not None:
            break
    (pod.folder / "code" / "go-on").touch()
    found, _ = pod.output(seen)
    assert piece is not None
    assert piece.data + found["stdout"] == b"first\nsecond\n"


def test_output_from_the_middle_of_a_line_is_as_it_was(pod: Pod) -> None:
    pod.python(PRINTS_BOTH).communicate(timeout=20)
    found, _ = pod.output(Followed(offsets={"stdout": 1234, "stderr": 0}))
    assert found["stdout"] == lines("out")[1234:]


def test_what_the_bounded_copy_has_lost_is_told_as_a_gap(pod: Pod) -> None:
    pod.python(PRINTS_BOTH, limit_bytes=2000).communicate(timeout=20)
    found, seen = pod.output()
    gap, kept = found["stdout"].split(b"<gap>")
    assert gap == b""
    assert 1000 < len(kept) <= 2000
    assert lines("out").endswith(kept)
    assert seen.offsets["stdout"] == len(lines("out"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_program_that_a_signal_ended_exits_as_in_a_shell(pod: Pod, number: int) -> None:
    wrapper = pod.python(f"import os; os.kill(os.getpid(), {int(number)})")
    wrapper.communicate(timeout=20)
    assert wrapper.returncode == 128 + number
    assert told(pod)["exit_code"] == -number


def test_sigterm_reaches_the_program(pod: Pod) -> None:
    wrapper = pod.python(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "open('../output/ready', 'w').close()\n"
        "time.sleep(60)\n"
    )
    pod.has("ready", b"")
    wrapper.terminate()
    wrapper.communicate(timeout=20)
    assert wrapper.returncode == 7


def test_program_that_does_not_obey_sigterm_is_killed_after_its_grace(pod: Pod) -> None:
    wrapper = pod.python(SIGTERM_IS_IGNORED, grace_s=0.2)
    assert wrapper.stdout is not None
    assert wrapper.stdout.readline() == b"deaf\n"
    wrapper.terminate()
    wrapper.communicate(timeout=20)
    assert wrapper.returncode == 128 + signal.SIGKILL


def test_sigterm_before_the_program_begins_starts_nothing(pod: Pod) -> None:
    missing = pod.code(digest="0" * 64, store="http://127.0.0.1:9", wait_s=60)
    wrapper = pod.program("touch", str(pod.folder / "started"), code=missing)
    wait_until((pod.folder / "log" / "lock").exists, 10, "the wrapper has begun")
    wrapper.terminate()
    wrapper.communicate(timeout=20)
    assert wrapper.returncode == 128 + signal.SIGTERM
    assert told(pod)["started_at"] is None
    assert not (pod.folder / "started").exists()


def test_sigterm_in_the_moment_in_which_it_begins_is_told_too(pod: Pod) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))  # its own, until it takes it
    try:
        wrapper = pod.program("touch", str(pod.folder / "started"))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
    wrapper.terminate()
    wrapper.communicate(timeout=20)
    assert wrapper.returncode == 128 + signal.SIGTERM
    assert told(pod)["started_at"] is None


def test_what_a_program_leaves_running_does_not_hold_its_end(pod: Pod) -> None:
    wrapper = pod.program("sh", "-c", "sleep 60 & echo done")
    assert wrapper.communicate(timeout=20)[0] == b"done\n"
    assert wrapper.returncode == 0


def test_telling_line_and_its_hint_are_in_the_message(pod: Pod) -> None:
    pod.python("import nowhere_to_be_found").communicate(timeout=20)
    assert told(pod)["telling"] == "ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    assert "import" in str(told(pod)["hint"])


def test_command_that_is_not_there_is_told(pod: Pod) -> None:
    wrapper = pod.program("no-such-command")
    wrapper.communicate(timeout=20)
    assert wrapper.returncode == 127
    assert "no-such-command" in str(told(pod)["not_started"])


def test_head_without_enough_workers_is_told(pod: Pod, tmp_path: Path) -> None:
    head = tmp_path / "head.json"
    head.write_text(json.dumps({"status_url": "http://127.0.0.1:9/ebb/status"}))
    wrapper = pod.program("true", head_file=str(head), min_workers=1, wait_s=0.1)
    wrapper.communicate(timeout=20)
    assert wrapper.returncode == 75
    assert "the head does not answer" in str(told(pod)["not_started"])


def test_followers_of_a_wrapper_that_was_killed_are_told_so(pod: Pod) -> None:
    wrapper = pod.python(WAITS_FOR_A_FILE)
    assert wrapper.stdout is not None
    assert wrapper.stdout.readline() == b"first\n"
    wrapper.kill()
    (pod.folder / "code" / "go-on").touch()
    found, seen = pod.output()
    assert (found["stdout"], seen.end) == (b"first\n", {})


def test_program_reads_an_empty_standard_input(pod: Pod) -> None:
    wrapper = pod.python("import sys; print(repr(sys.stdin.read()))")
    assert wrapper.communicate(timeout=20)[0] == b"''\n"


def test_what_the_hook_noted_is_told_at_the_end(pod: Pod) -> None:
    source = "from ebbtide.infra.frameworks.bootstrap import note; note('unfinished', count=2)"
    wrapper = pod.python(source, framework="dask")
    wrapper.communicate(timeout=20)
    _, seen = pod.output()
    assert seen.end is not None
    assert seen.end["notes"] == {"unfinished": {"count": 2}}


def test_message_is_never_longer_than_the_kubelet_keeps() -> None:
    end = {"exit_code": 1, "telling": "ä" * 300, "hint": "x", "notes": {"a": "y" * 5000}}
    text = message(end)
    assert len(text) <= MESSAGE_BYTES
    assert json.loads(text)["telling"] == "ä" * 300
