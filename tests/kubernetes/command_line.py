"""The real command line, typed by somebody with a home of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

EBB = str(Path(sys.executable).with_name("ebb"))
_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Somebody:
    """Who types, and where."""

    folder: Path
    home: Path
    """EBB_HOME."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Everything else that is set in this shell."""

    @property
    def environ(self) -> dict[str, str]:
        """Of what is typed: nothing of this process but where programs are."""
        own = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "EBB_HOME": str(self.home)}
        return {**own, **self.variables}

    def types(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``ebb WORDS``, to its end, which is a good one."""
        done = subprocess.run(
            [EBB, *words],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def begins(self, *words: str) -> subprocess.Popen[str]:
        """``ebb WORDS``, which goes on."""
        pipe = subprocess.PIPE
        where, environ = self.folder, self.environ
        return subprocess.Popen(
            [EBB, *words], cwd=where, env=environ, stdout=pipe, stderr=pipe, text=True
        )
