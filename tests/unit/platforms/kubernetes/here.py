"""What runs in pods, on this machine: the same programs, with folders of a test."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ebbtide.infra.frameworks.door import SECRET_FILE
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.inside.told import (
    CodeSettings,
    ProgramSettings,
    to_text,
)
from ebbtide.infra.platforms.kubernetes.shipping.collecting import Followed, follow
from tests.helpers import wait_until

PYTHON = sys.executable


class Exec:
    """As ``client.Exec``, but a child of this process."""

    def __init__(self, argv: Sequence[str]):
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def __enter__(self) -> Exec:
        return self

    def __exit__(self, *_: object) -> None:
        """Its input ends; there nobody kills it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=1)
        self._process.kill()
        self._process.communicate()

    def write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def read(self, timeout_s: float) -> bytes | None:
        assert self._process.stdout is not None
        file = self._process.stdout.fileno()
        if not select.select([file], [], [], timeout_s)[0]:
            return b""
        return os.read(file, 2**16) or None

    @property
    def errors(self) -> str:
        assert self._process.stderr is not None
        self._process.wait(10)
        return self._process.stderr.read().decode()


class Pod:
    """Folders of a pod, and what runs in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("log", "code", "packages", "output", "door"):
            (folder / name).mkdir()
        (folder / "door" / SECRET_FILE).write_text("open sesame")
        self.termination = folder / "termination"
        self.processes: list[subprocess.Popen[bytes]] = []

    def run(self, pod: str, container: str, argv: Sequence[str]) -> Exec:
        """``Api.run``."""
        del pod, container
        return Exec(self.here(argv))

    def here(self, argv: Sequence[str]) -> list[str]:
        """A command line of a pod, on this machine."""
        inside = str(layout.RUN_FOLDER)
        here = [word.replace(inside, str(self.folder)) for word in argv]
        return [PYTHON if word == layout.paths().python else word for word in here]

    def start(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        """One of the programs, ended with the test."""
        process = subprocess.Popen(
            self.here(layout.module(name, *words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.processes.append(process)
        return process

    def code(self, **more: Any) -> CodeSettings:
        """Where the code comes from: nowhere, the folder is as it is."""
        code = str(self.folder / "code")
        secrets = str(self.folder / "door")
        base = CodeSettings(
            digest="", store="", secrets=secrets, folder=code, workdir=code, wait_s=10
        )
        return replace(base, **more)

    def program(self, *argv: str, **more: Any) -> subprocess.Popen[bytes]:
        """The wrapper of a program."""
        base = ProgramSettings(
            run="copper-heron",
            code=self.code(),
            framework="none",
            bridge=False,
            head_file="",
            min_workers=0,
            wait_s=10,
            log=str(self.folder / "log"),
            termination=str(self.termination),
            ready_bind="127.0.0.1",
            ready_port=0,
        )
        return self.start("program", to_text(replace(base, **more)), *argv)

    def python(self, source: str, **more: Any) -> subprocess.Popen[bytes]:
        """The wrapper of a Python program."""
        (self.folder / "code" / "program.py").write_text(source)
        return self.program(PYTHON, "program.py", **more)

    def output(self, seen: Followed | None = None) -> tuple[dict[str, bytes], Followed]:
        """All that it prints from somewhere on, to its end."""
        seen = seen or Followed()
        found = {"stdout": b"", "stderr": b""}
        for piece in follow(self.run, "driver", seen):
            if piece is not None:
                found[piece.stream] += b"<gap>" * bool(piece.gap) + piece.data
        return found, seen

    def has(self, name: str, content: bytes) -> None:
        """Wait until a program has written a file into its output folder."""
        path = self.folder / "output" / name
        wait_until(lambda: path.exists() and path.read_bytes() == content, 10, f"{name} is written")

    def end(self) -> None:
        """End what still runs."""
        for process in self.processes:
            process.kill()
            process.communicate()
