"""The driver's hook: what it brings into a program's Python, and that it leaves no trace there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ebbtide.infra.frameworks import bootstrap

FOLDER = Path(bootstrap.__file__).parent
SEEN = """
import json, os, subprocess, sys
def seen():
    return {
        "path": sys.path, "variable": os.environ.get("PYTHONPATH"),
        "names": sorted(name for name in os.environ if name.startswith("EBB_HOOK")),
        "sitecustomize": getattr(sys.modules.get("sitecustomize"), "__file__", None),
        "finders": [type(finder).__name__ for finder in sys.meta_path],
    }
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder for modules of the user; with a framework package that costs nothing."""
    (tmp_path / "pyspark").mkdir()
    (tmp_path / "pyspark" / "__init__.py").write_text("")
    return tmp_path


def python(place: Path, code: str, *flags: str, hook: bool = True, users: str | None = None) -> str:
    """What a program prints; ``users`` is the user's PYTHONPATH."""
    environ = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", bootstrap.BRIDGE)}
    if users is not None:
        environ["PYTHONPATH"] = users
    if hook:
        more = bootstrap.hook_environment(
            environ, "spark", FOLDER, place / "notes.jsonl", bridge=True
        )
        environ.update(more)
    (place / "program.py").write_text(code)
    command = [sys.executable, *flags, str(place / "program.py")]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def notes(place: Path) -> list[dict[str, object]]:
    file = place / "notes.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def users_sitecustomize(place: Path, code: str) -> str:
    folder = place / "users"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return str(folder)


@pytest.mark.parametrize("users", [None, "/somewhere", "/a:/b"])
def test_a_program_sees_what_it_saw_without_the_hook(place: Path, users: str | None) -> None:
    code = SEEN + "print(json.dumps(seen()))"
    with_hook = json.loads(python(place, code, users=users))
    bare = json.loads(python(place, code, users=users, hook=False))
    assert with_hook.pop("finders") == ["_Finder", *bare.pop("finders")]
    assert with_hook == bare


def test_children_of_a_program_do_not_get_the_hook(place: Path) -> None:
    child = SEEN + "print(json.dumps(seen()))"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert "_Finder" not in json.loads(python(place, code))["finders"]


def test_the_users_own_sitecustomize_runs_and_is_the_one_that_is_found(place: Path) -> None:
    users = users_sitecustomize(place, "import builtins; builtins.mine = 'mine'")
    printed = python(
        place, "import sitecustomize; print(mine, sitecustomize.__file__)", users=users
    )
    assert printed == f"mine {users}/sitecustomize.py\n"


@pytest.mark.parametrize("flag", ["-I", "-E", "-S"])
def test_a_python_that_shall_be_isolated_is_left_alone(place: Path, flag: str) -> None:
    code = SEEN + "print(json.dumps(seen()))"
    assert "_Finder" not in json.loads(python(place, code, flag))["finders"]


OURS = """
import sys, types
base = "ebbtide.infra.frameworks.spark"
sys.modules[base + ".driver"] = types.SimpleNamespace(install=lambda: {body})
sys.modules[base + ".unfinished"] = types.SimpleNamespace(watch=lambda: None)
"""


def test_a_frameworks_driver_is_installed_right_after_its_package(place: Path) -> None:
    code = OURS.format(body="print('installed')") + (
        "print('before'); import pyspark; print('after'); import pyspark\n"
        "print(type(pyspark.__loader__).__name__, vars(pyspark.__loader__).keys())"
    )
    printed = python(place, code).splitlines()
    assert printed[:3] == ["before", "installed", "after"]
    assert printed[3] == "SourceFileLoader dict_keys(['name', 'path'])"


def test_an_error_in_our_hook_is_noted_and_not_the_programs(place: Path) -> None:
    code = OURS.format(body="1 / 0") + "import pyspark; print('goes on')"
    assert python(place, code) == "goes on\n"
    assert notes(place) == [
        {"kind": "hook-failed", "what": "ZeroDivisionError('division by zero')"}
    ]


def test_a_python_without_ebbtide_is_left_alone(place: Path) -> None:
    code = "import sys; sys.modules['ebbtide'] = None\nimport pyspark; print('goes on')"
    assert python(place, code) == "goes on\n"
    assert notes(place) == []


def test_another_framework_than_the_clusters_is_left_alone(place: Path) -> None:
    (place / "ray.py").write_text("")
    code = OURS.format(body="print('installed')") + "import ray; print('ray')"
    assert python(place, code) == "ray\n"


def test_a_fork_of_the_program_is_no_driver(place: Path) -> None:
    code = OURS.format(body="print('installed')") + (
        "import os\npid = os.fork()\n"
        "if pid:\n    os.waitpid(pid, 0)\nelse:\n    import pyspark\n    print('child', flush=True)"
    )
    assert python(place, code) == "child\n"


def test_what_is_said_is_said_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bootstrap.say("a sentence of this test")
    bootstrap.say("a sentence of this test")
    assert capsys.readouterr().err == "ebb: a sentence of this test\n"


def test_notes_are_lines_of_json(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(bootstrap.NOTES, str(place / "notes.jsonl"))
    bootstrap.note("own-cluster", what="local[*]")
    bootstrap.note("unfinished", count=3)
    assert notes(place) == [
        {"kind": "own-cluster", "what": "local[*]"},
        {"kind": "unfinished", "count": 3},
    ]


def test_a_note_that_nobody_wants_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(bootstrap.NOTES, raising=False)
    bootstrap.note("own-cluster")


@pytest.mark.parametrize(("count", "noted"), [("2", [2]), ("0", []), ("1 / 0", [])])
def test_tasks_that_are_left_at_the_end_are_noted(
    place: Path, count: str, noted: list[int]
) -> None:
    code = "from ebbtide.infra.frameworks.bootstrap import note_at_exit\n"
    python(place, code + f"note_at_exit(lambda: {count}, 'wait')")
    assert [each["count"] for each in notes(place) if each["kind"] == "unfinished"] == noted


def test_tasks_that_end_in_the_next_moment_are_not_left(place: Path) -> None:
    code = "from ebbtide.infra.frameworks.bootstrap import note_at_exit\n"
    python(place, code + "left = [1, 1, 0]\nnote_at_exit(lambda: left.pop(0), 'wait')")
    assert notes(place) == []


def test_bridging_is_told_to_the_program(place: Path) -> None:
    code = "from ebbtide.infra.frameworks.bootstrap import bridged; print(bridged())"
    assert python(place, code) == "True\n"
    assert python(place, code, hook=False) == "False\n"
