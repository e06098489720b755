"""The user's program: started once, streamed, limited, ended, and remembered."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.models.job import Limits, RetryPolicy
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.processes.identity import alive
from ebbtide.infra.request.option_values import RESERVED_VARIABLES
from ebbtide.infra.request.options import merge
from tests.clusters import Outcome, carried_out, cluster_spec, run_spec, script

PLAIN = cluster_spec("none")
BUSY = "while True: pass"


def run(home: Path, folder: Path, text: str, framework: str = "none", **more: Any) -> Outcome:
    spec = run_spec("job", cluster_spec(framework), script(folder, text), **more)
    return carried_out(home, spec)


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("sys.exit(0)", 0),
        ("sys.exit(7)", 7),
        ("os.kill(os.getpid(), 9)", 128 + signal.SIGKILL),
        ("raise ValueError", 1),
    ],
)
def test_its_exit_code_is_the_runs(ebb_home: Path, tmp_path: Path, ending: str, code: int) -> None:
    outcome = run(ebb_home, tmp_path, f"import os, sys\n{ending}")
    assert outcome.run.exit_code == code
    assert outcome.run.phase == ("Failed" if code else "Succeeded")


def test_its_output_its_words_and_its_files_are_kept(ebb_home: Path, tmp_path: Path) -> None:
    text = """
        import os, pathlib, sys
        print("words", sys.argv[1:], "beside", pathlib.Path("data.txt").read_text())
        print("trouble", file=sys.stderr)
        pathlib.Path(os.environ["EBB_OUTPUT_DIR"], "model.bin").write_bytes(b"kept")
        """
    (tmp_path / "data.txt").write_text("input")
    outcome = run(ebb_home, tmp_path, text, words=("--rate", "0.1"))
    assert outcome.output() == "words ['--rate', '0.1'] beside input\n"
    assert (outcome.folder / "stderr.log").read_text() == "trouble\n"
    assert (outcome.folder / "output" / "model.bin").read_bytes() == b"kept"


def test_variables_arrive_and_a_secret_is_written_nowhere(
    ebb_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "hunter2-hunter2")
    text = """
        import os
        print(os.environ["RATE"], os.environ["EBB_RUN"], len(os.environ["DB_PASSWORD"]))
        """
    outcome = run(ebb_home, tmp_path, text, env={"RATE": "0.5"})
    assert outcome.output() == "0.5 job 15\n"
    files = [path for path in ebb_home.rglob("*") if path.is_file()]
    assert [path for path in files if b"hunter2" in path.read_bytes()] == []


def test_a_run_that_it_starts_takes_no_option_from_what_ebb_has_given_it(
    ebb_home: Path, tmp_path: Path
) -> None:
    text = "import json, os; print(json.dumps(dict(os.environ)))"
    given = json.loads(run(ebb_home, tmp_path, text).output())
    added = {name for name in given.keys() - os.environ.keys() if name.startswith("EBB_")}
    of_a_cluster = {"EBB_BRIDGED", "EBB_HOOK", "EBB_NOTES"}
    assert added == set(RESERVED_VARIABLES) - of_a_cluster - {"EBB_HOME"}  # the test has that too
    assert merge({}, given, file={}) == merge({}, os.environ, file={})


def test_time_limit_ends_even_one_that_ignores_sigterm(ebb_home: Path, tmp_path: Path) -> None:
    text = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{BUSY}"
    outcome = run(ebb_home, tmp_path, text, limits=Limits(time_limit_s=1))
    assert (outcome.run.reason, outcome.run.exit_code) == (Reason.TIME_LIMIT, 124)


def test_out_of_memory_names_who_the_peak_and_the_limit(ebb_home: Path, tmp_path: Path) -> None:
    outcome = run(ebb_home, tmp_path, f"held = bytearray(700 * 2**20)\n{BUSY}")
    assert outcome.run.reason == Reason.OUT_OF_MEMORY
    assert "the program: peak" in outcome.run.detail
    assert "of 600 MiB" in outcome.run.detail


def test_program_that_is_not_there_is_said_in_one_sentence(ebb_home: Path, tmp_path: Path) -> None:
    spec = run_spec("job", PLAIN, tmp_path / "x.py")
    assert spec.job is not None
    object.__setattr__(spec.job, "argv", ("no-such-command",))
    outcome = carried_out(ebb_home, spec)
    assert outcome.run.reason == Reason.NOT_STARTED
    assert outcome.run.exit_code == ExitCode.MISCONFIGURATION


def test_grandchild_that_dropped_the_mark_is_gone_afterwards(
    ebb_home: Path, tmp_path: Path
) -> None:
    text = """
        import subprocess, sys
        away = "import os\\nif os.fork(): os._exit(0)\\nos.setsid()\\nwhile True: pass"
        child = subprocess.Popen([sys.executable, "-c", away], env={})
        child.wait()
        import pathlib
        pids = [p.name for p in pathlib.Path("/proc").iterdir() if p.name.isdigit()
                and "os.setsid()" in (p / "cmdline").read_text().replace(chr(0), " ")]
        print(*pids)
        """
    outcome = run(ebb_home, tmp_path, text)
    pids = [int(pid) for pid in outcome.output().split()]
    assert pids
    assert not any(alive(pid) for pid in pids)


def test_program_is_tried_again_only_if_asked(ebb_home: Path, tmp_path: Path) -> None:
    text = """
        import pathlib, sys
        with open("starts", "a") as file:
            file.write("x")
        sys.exit(0 if len(pathlib.Path("starts").read_text()) > 1 else 3)
        """
    asked = run(ebb_home, tmp_path, text, retry=RetryPolicy(reasons=("job",)))
    assert (asked.error, (tmp_path / "starts").read_text()) == (None, "xx")
    assert asked.run.attempt == 2


SLEEPS = """
    import threading
    from distributed import Client
    client = Client()
    client.submit(sum, [1, 2]).result()
    threading.Event().wait(10)
    """


def test_idle_cluster_is_kept_where_the_job_says_so(ebb_home: Path, tmp_path: Path) -> None:
    limits = Limits(idle_release_s=1, idle_action="warn")
    outcome = run(ebb_home, tmp_path, SLEEPS, "dask", limits=limits)
    assert outcome.error is None
    assert any("kept, as --idle-action warn says" in said for said in outcome.messages("warning"))


KILLS = """
    import os, pathlib, signal
    from distributed import Client
    client = Client()
    flag = pathlib.Path("killed")
    if not flag.exists():
        flag.touch()
        {victim}
    print(client.submit(sum, [1, 2]).result(timeout=60))
    """


def test_worker_that_dies_is_replaced_and_the_program_goes_on(
    ebb_home: Path, tmp_path: Path
) -> None:
    kill = "client.run(os._exit, 9, on_error='ignore')"
    outcome = run(ebb_home, tmp_path, KILLS.format(victim=kill), "dask")
    assert outcome.error is None
    assert outcome.output() == "3\n"
    assert outcome.run.attempt == 1


@pytest.mark.parametrize(("reasons", "attempts"), [(("infra",), 2), ((), 1)])
def test_lost_head_is_a_fresh_attempt_if_the_policy_says_so(
    ebb_home: Path, tmp_path: Path, reasons: tuple[str, ...], attempts: int
) -> None:
    kill = "client.run_on_scheduler(os._exit, 9)"
    text, retry = KILLS.format(victim=kill), RetryPolicy(reasons=reasons, attempts=1)
    outcome = run(ebb_home, tmp_path, text, "dask", retry=retry)
    assert outcome.run.attempt == attempts
    assert outcome.run.reason == (None if reasons else Reason.HEAD_LOST)


def test_a_cluster_that_does_not_stand_in_its_time_is_given_up_at_its_step(
    ebb_home: Path, tmp_path: Path
) -> None:
    limits, retry = Limits(start_within_s=0.2), RetryPolicy(reasons=("capacity",))
    outcome = run(ebb_home, tmp_path, "print('never')", "dask", limits=limits, retry=retry)
    assert (outcome.run.reason, outcome.run.exit_code) == (Reason.NOT_IN_TIME, 69)
    assert "still at start_head after" in outcome.run.detail
    assert outcome.messages("attempt") == [], "more time is for its user to allow"


def test_cluster_that_cannot_start_for_one_reason_is_not_tried_again_and_again(
    ebb_home: Path, tmp_path: Path
) -> None:
    """A file beside the program hides the framework: neither restart nor fresh cluster helps."""
    (tmp_path / "distributed.py").write_text("raise ImportError('not the framework')")
    outcome = run(ebb_home, tmp_path, "", "dask", retry=RetryPolicy(reasons=("infra",)))
    assert (outcome.run.reason, outcome.run.attempt) == (Reason.HEAD_NOT_READY, 1)
    assert "its log says: ImportError: not the framework; twice" in outcome.run.detail


def test_program_that_fails_is_told_by_its_error_and_what_helps(
    ebb_home: Path, tmp_path: Path
) -> None:
    outcome = run(ebb_home, tmp_path, "import nowhere_at_all")
    error = "the program exited with 1: ModuleNotFoundError: No module named 'nowhere_at_all'"
    assert outcome.run.detail == error
    assert outcome.error is not None
    assert "PYTHONPATH" in outcome.error.hint
