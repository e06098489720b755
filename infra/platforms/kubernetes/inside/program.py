"""The wrapper of the user's program, first process of the container ``driver``.

    python -P -m ….inside.program SETTINGS COMMAND …

It waits for code, head and workers, starts the program, keeps a bounded copy of its output, and
tells how it ended: by its own exit code (the program's, or 128 and a signal's number), by the
termination message, and by the last frame of ``stream``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from ebbtide.infra.frameworks import bootstrap
from ebbtide.infra.frameworks.direct import DIRECT
from ebbtide.infra.frameworks.door import basic, read_secret
from ebbtide.infra.frameworks.ready import serve_ready
from ebbtide.infra.models.phases import exit_status
from ebbtide.infra.platforms.kubernetes.inside import ending
from ebbtide.infra.platforms.kubernetes.inside.begin.beside import Beside
from ebbtide.infra.platforms.kubernetes.inside.begin.entrance import Entrance
from ebbtide.infra.platforms.kubernetes.inside.begin.versions import (
    Differs,
    check_pod,
    check_program,
)
from ebbtide.infra.platforms.kubernetes.inside.child import Child
from ebbtide.infra.platforms.kubernetes.inside.packages import fetch
from ebbtide.infra.platforms.kubernetes.inside.spool import Spool, SpoolReader
from ebbtide.infra.platforms.kubernetes.inside.storage.storing import Stored, Storing
from ebbtide.infra.platforms.kubernetes.inside.storage.unpacking import PackageError
from ebbtide.infra.platforms.kubernetes.inside.told import ProgramSettings, program_settings
from ebbtide.infra.policy.explain.exits import closed_stdin_hint
from ebbtide.infra.policy.explain.known import hint_for
from ebbtide.infra.policy.explain.telling import error_line
from ebbtide.infra.processes.environment import user_environment
from ebbtide.infra.waiting import wait_until

NOT_FOUND, NOT_EXECUTABLE, NOT_READY, NOT_STORED = 127, 126, 75, 74
"""Exit codes when the program did not start: a shell's, and that of sysexits.h for "later"; and, of
sysexits.h too, when it ended well and its output could not be stored."""
_ANSWER_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 0.5
_TAIL_BYTES = 2**16
_NOTES_BYTES = 2**16
_NO_CLUSTER = "none"
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class NotStarted(Exception):
    """Why the program was not started; says so for people, and has the exit code."""

    def __init__(self, code: int, why: str):
        super().__init__(why)
        self.code = code


class Wrapper:
    """One program, once."""

    def __init__(self, told: ProgramSettings, argv: Sequence[str]):
        # Held back until ``run`` can tell of it.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        signal.signal(signal.SIGTERM, _stop)
        self._told, self._argv = told, argv
        self._log = Path(told.log)
        self._lock = ending.hold_lock(self._log)
        self._spools = {
            name: Spool(self._log / name, told.limit_bytes) for name in ("stdout", "stderr")
        }
        self._entrance = Entrance(self._log) if told.told_to_begin else None
        self._beside = Beside(told.beside, os.environ) if told.beside is not None else None
        self._started_at: float | None = None

    def run(self) -> int:
        """Run the program to its end. Returns the exit code of this process."""
        try:
            return self._run()
        finally:
            if self._beside is not None:
                self._beside.end()

    def _run(self) -> int:
        told = self._told
        serve_ready(told.ready_bind, told.ready_port, lambda: self._started_at is not None)
        storing = Storing(told.outputs, told.output, self._users) if told.outputs else None
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
            if storing is not None and (why := storing.cannot()):
                raise NotStarted(NOT_EXECUTABLE, why)
            check_pod(told.code)
            check_program(told.code, self._argv[0], self._users)
            fetch(told.code)
            if self._beside is not None:
                self._begin_beside(self._beside)
            wait_for_workers(told)
            if self._beside is not None:
                self._wait_for_beside(self._beside)
            if self._entrance is not None:
                self._entrance.wait()
            child = self._start()
        except PackageError as error:
            return self._not_started(NOT_READY if error.later else NOT_EXECUTABLE, str(error))
        except Differs as error:
            return self._not_started(NOT_EXECUTABLE, error.telling, error.data)
        except NotStarted as error:
            return self._not_started(error.code, str(error))
        self._started_at = time.time()
        code = child.wait(told.grace_s)
        if storing is None:
            self._end(code)
            return exit_status(code)
        stored = storing.store(child.told_to_end_s, told.store_within_s)
        if stored.lost:
            print(f"ebb: {stored.lost}", file=sys.stderr, flush=True)
        self._end(code, stored=stored)
        return NOT_STORED if stored.lost and code == 0 else exit_status(code)

    def _go_to_work(self) -> None:
        for folder in filter(None, (self._told.history, self._told.code.workdir)):
            os.makedirs(folder, exist_ok=True)
        os.chdir(self._told.code.workdir)

    def _begin_beside(self, beside: Beside) -> None:
        try:
            self._go_to_work()
            beside.start()
        except OSError as error:
            raise NotStarted(NOT_EXECUTABLE, f"what runs beside it: {error}") from error

    def _wait_for_beside(self, beside: Beside) -> None:
        if not beside.is_ready_within(self._told.wait_s):
            why = f"what its framework runs beside it is not ready: {beside.last_line()}"
            raise NotStarted(NOT_READY, why)

    def _start(self) -> Child:
        try:
            self._go_to_work()
            entrance = self._entrance
            if entrance is not None and not entrance.has_stdin:
                entrance = None
            return Child(self._argv, self._environment(), self._spools, entrance)
        except OSError as error:
            why = f"{error.filename or self._argv[0]}: {error.strerror}"
            missing = isinstance(error, FileNotFoundError)
            raise NotStarted(NOT_FOUND if missing else NOT_EXECUTABLE, why) from error

    @property
    def _users(self) -> dict[str, str]:
        return {"PYTHONUNBUFFERED": "1", **user_environment(os.environ)}

    def _environment(self) -> dict[str, str]:
        environ = {**self._users, **(self._beside.variables if self._beside is not None else {})}
        if self._told.framework == _NO_CLUSTER:
            return environ
        folder = Path(bootstrap.__file__).parent
        framework, bridge = self._told.framework, self._told.bridge
        hook = bootstrap.hook_environment(environ, framework, folder, self._notes, bridge=bridge)
        return {**environ, **hook}

    @property
    def _notes(self) -> Path:
        return self._log / "notes.jsonl"

    def _not_started(self, code: int, why: str, more: Mapping[str, Any] = _NOTHING) -> int:
        print(f"ebb: the program was not started: {why}", file=sys.stderr, flush=True)
        self._end(code if code < 0 else None, {**more, "not_started": why})
        return exit_status(code)

    def _end(
        self, code: int | None, more: Mapping[str, Any] = _NOTHING, stored: Stored | None = None
    ) -> None:
        for spool in self._spools.values():
            spool.close()
        said = "" if code == 0 else self._end_of_stderr()
        end = {
            "started_at": self._started_at,
            "first_output_at": self._spools["stdout"].first_at,
            "ended_at": time.time(),
            "exit_code": code,
            "telling": error_line(said),
            "hint": (hint_for(said, self._told.run) or self._stdin_hint(said)) if said else "",
            "not_started": "",
            "notes": read_notes(self._notes),
            **({"stored": stored.data()} if stored is not None else {}),
            "bytes": {name: spool.size for name, spool in self._spools.items()},
            **more,
        }
        for write in (self._tell_followers, self._tell_kubelet):
            try:
                write(end)
            except OSError as error:
                print(f"ebb: {error}", file=sys.stderr, flush=True)

    def _tell_followers(self, end: dict[str, Any]) -> None:
        ending.write_end(self._log, end)

    def _tell_kubelet(self, end: dict[str, Any]) -> None:
        Path(self._told.termination).write_bytes(ending.message(end))

    def _stdin_hint(self, said: str) -> str:
        has_stdin = self._entrance is not None and self._entrance.has_stdin
        return "" if has_stdin else closed_stdin_hint(said)

    def _end_of_stderr(self) -> str:
        size = self._spools["stderr"].size
        reader = SpoolReader(self._log / "stderr", max(0, size - _TAIL_BYTES))
        said = b""
        while data := reader.read()[1]:
            said += data
        reader.close()
        return said.decode(errors="replace")


def wait_for_workers(told: ProgramSettings) -> None:
    """Wait until the head says that enough workers have registered; at once without a head.

    Raises:
        NotStarted: they have not in time.
    """
    if not told.head_file:
        return
    where = json.loads(Path(told.head_file).read_text())["status_url"]
    seen = -1

    def enough() -> bool:
        nonlocal seen
        seen = _registered(where, Path(told.code.secrets))
        return seen >= told.min_workers

    timeout_s = told.wait_s
    pauses = {"first_s": _FIRST_PAUSE_S, "longest_s": _LONGEST_PAUSE_S}
    if not wait_until(enough, timeout_s=timeout_s, **pauses):
        what = "the head does not answer" if seen < 0 else f"{seen} of {told.min_workers} workers"
        raise NotStarted(NOT_READY, f"{what} after {timeout_s:.0f} s")


def _registered(url: str, secrets: Path) -> int:
    """How many workers have registered; -1 when the head does not answer."""
    try:
        question = urllib.request.Request(url)
        question.add_header("Authorization", basic(read_secret(secrets)))
        with DIRECT.open(question, timeout=_ANSWER_S) as answer:
            workers = json.load(answer)["workers"]
    except (OSError, ValueError, KeyError):
        return -1
    return sum(not worker.get("leaving") for worker in workers.values())


def read_notes(file: Path) -> dict[str, Any]:
    """Return what the hook in the program has noted: of each kind the last."""
    found: dict[str, Any] = {}
    try:
        with file.open("rb") as opened:
            lines = opened.read(_NOTES_BYTES).splitlines()
    except OSError:
        return found
    for line in lines:
        try:
            note = json.loads(line)
        except ValueError:
            continue
        if isinstance(note, dict) and "kind" in note:
            found[str(note.pop("kind"))] = note
    return found


def _stop(*_: object) -> NoReturn:
    """Told to end before the program began."""
    raise NotStarted(-signal.SIGTERM, "it was told to end before")


if __name__ == "__main__":
    told = program_settings(sys.argv[1])
    status = Wrapper(told, sys.argv[2:]).run()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # whatever still holds a pipe
