"""What a framework runs beside a program in its pod: there before it, gone after it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.platforms.kubernetes.inside.told import BesideSettings
from tests.helpers import wait_until
from tests.unit.platforms.kubernetes.here import PYTHON, Pod

SAYS_READY = """
import json, os, signal, sys, threading
told = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: told.set())
with open("tries", "a") as file:
    file.write("x")
if len(open("tries").read()) <= int(sys.argv[1]):
    sys.exit("it could not yet")
open("seen", "w").write(json.dumps([sys.argv[2], dict(os.environ), os.getpid()]))
print('ready {"FOUND": "there"}', flush=True)
told.wait(60)
open("left", "w").close()
"""
NEVER = "import sys\nsys.exit('no room for it')\n"


def beside(pod: Pod, text: str, fails: int = 0) -> BesideSettings:
    path = pod.folder / "beside.py"
    path.write_text(text)
    return BesideSettings(
        argv=(PYTHON, str(path), str(fails), "at $(POD_IP)"),
        env={"MEMBER": "$(POD_NAME)"},
        not_for_tasks={"TMPDIR": "/ours"},
        log=str(pod.folder / "artifacts" / "driver" / "beside.log"),
    )


def seen(pod: Pod) -> Any:
    return json.loads((pod.folder / "code" / "seen").read_text())


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "POD_IP": "10.0.0.7",
        "POD_NAME": "rose-driver",
        "EBB_USER_PYTHONWARNINGS": "error",
        "TMPDIR": "/theirs",
    }.items():
        monkeypatch.setenv(name, value)


def test_it_is_there_before_the_program_and_told_to_leave_after_it(pod: Pod) -> None:
    runs = "import os, pathlib; assert pathlib.Path('seen').exists(); print(os.environ['FOUND'])"
    wrapper = pod.python(runs, beside=beside(pod, SAYS_READY))
    out, err = wrapper.communicate(timeout=20)
    assert (wrapper.returncode, out) == (0, b"there\n"), err
    wait_until((pod.folder / "code" / "left").exists, 5, "it has left")
    assert not Path(f"/proc/{seen(pod)[2]}").exists()


def test_it_has_what_the_kubelet_would_fill_in_and_obeys_nothing_of_the_users(pod: Pod) -> None:
    pod.python("", beside=beside(pod, SAYS_READY)).communicate(timeout=20)
    word, environ, _ = seen(pod)
    assert word == "at 10.0.0.7"
    assert environ["MEMBER"] == "rose-driver"
    assert (environ["TMPDIR"], environ["EBB_USER_TMPDIR"]) == ("/ours", "/theirs")
    assert "PYTHONWARNINGS" not in environ


def test_it_is_started_again_until_it_is_ready(pod: Pod) -> None:
    wrapper = pod.python("print('begun')", beside=beside(pod, SAYS_READY, fails=2))
    out, err = wrapper.communicate(timeout=30)
    assert (wrapper.returncode, out) == (0, b"begun\n"), err
    assert (pod.folder / "code" / "tries").read_text() == "xxx"


def test_program_does_not_begin_without_it_and_its_last_words_are_told(pod: Pod) -> None:
    wrapper = pod.python("print('begun')", beside=beside(pod, NEVER), wait_s=1)
    out, _ = wrapper.communicate(timeout=20)
    assert (wrapper.returncode, out) == (75, b"")
    end = json.loads(pod.termination.read_text())
    assert end["not_started"].endswith("is not ready: no room for it")


def test_sigterm_before_it_is_ready_ends_it_too(pod: Pod) -> None:
    waits = SAYS_READY.replace("print('ready", "str('ready").replace("}', flush=True)", "}')")
    wrapper = pod.python("print('begun')", beside=beside(pod, waits), wait_s=60)
    wait_until((pod.folder / "code" / "seen").exists, 10, "it has begun")
    wait_until((pod.folder / "code" / "seen").read_text, 10, "it has said who it is")
    wrapper.terminate()
    wrapper.communicate(timeout=20)
    assert wrapper.returncode == 143
    with pytest.raises(ProcessLookupError):
        os.kill(seen(pod)[2], 0)
