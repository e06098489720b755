"""Spark's two daemons as JVMs, without Spark's shell scripts: the wheel has none for them.

Run beside ``head.py`` and ``worker.py``, so little beside the standard library.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ebbtide.infra.frameworks.direct import DIRECT
from ebbtide.infra.frameworks.spark.config.java import OPTIONS

ANSWER_TIMEOUT_S = 2.0

_PR_SET_PDEATHSIG = 1
_NOT_FOR_DAEMONS = {*OPTIONS, "SPARK_TESTING", "SPARK_SQL_TESTING"}
_OF_OTHER_DAEMONS = ("SPARK_MASTER_", "SPARK_WORKER_", "SPARK_DAEMON_", "SPARK_HISTORY_")

# Spark's own list for Java 17 (its build documentation, "Java module options").
_OPEN = (
    *("java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio"),
    *("java.util", "java.util.concurrent", "java.util.concurrent.atomic", "sun.nio.ch"),
    *("sun.nio.cs", "sun.security.action", "sun.util.calendar"),
)
# A daemon only passes messages: a small heap, no second compiler, no threads for collecting.
_HEAP_MIB = 192
_SMALL = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")


def start(
    scratch: Path, main_class: str, *arguments: str, heap_mib: int = _HEAP_MIB
) -> subprocess.Popen[bytes]:
    """Start a Spark daemon; it ends when its parent is gone.

    Args:
        scratch: where it may leave temporary files.
        main_class: the daemon's class.
        arguments: of the daemon.
        heap_mib: its largest heap.

    Returns:
        The process of its JVM.
    """
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java") or "java"
    jars = f"{os.environ['SPARK_CONF_DIR']}:{Path(os.environ['SPARK_HOME']) / 'jars'}/*"
    opens = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPEN]
    own = [f"-Xmx{heap_mib}m", *_SMALL, f"-Djava.io.tmpdir={scratch}"]
    # Spark's scripts find this out; without it a worker looks for a source tree.
    (core,) = (Path(os.environ["SPARK_HOME"]) / "jars").glob("spark-core_*.jar")
    scala = core.name.removeprefix("spark-core_").partition("-")[0]
    libc = ctypes.CDLL(None)

    def die_with_parent() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return subprocess.Popen(
        [java, *opens, *own, "-cp", jars, main_class, *arguments],
        env={**environment(os.environ), "SPARK_SCALA_VERSION": scala},
        preexec_fn=die_with_parent,  # noqa: PLW1509  (no threads yet)
    )


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Without what the user has set for other masters and workers, or for any JVM.

    Options for programs' JVMs break these ("conflicting collectors", a debugger's port that is
    taken); executors have them from their application, see ``framework``.
    """
    return {
        name: value
        for name, value in environ.items()
        if name not in _NOT_FOR_DAEMONS and not name.startswith(_OF_OTHER_DAEMONS)
    }


def children(pid: int) -> list[int]:
    """Processes that a process has started and that have not ended."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if fields[0] not in "ZX" and int(fields[1]) == pid:
            found.append(int(file.parent.name))
    return found


def listening_ports(pid: int) -> list[int]:
    """TCP ports a process listens on."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(os.readlink(entry))
        except OSError:
            continue
    ports = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and f"socket:[{columns[9]}]" in inodes:
                ports.append(int(columns[1].rpartition(":")[2], 16))
    return ports


def free_port(bind: str) -> int:
    """A port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind((bind, 0))
        return int(probe.getsockname()[1])


def ask(url: str, authorization: str) -> Any:
    """The JSON at a URL; None when there is no answer."""
    text = read(url, authorization)
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None


def read(url: str, authorization: str) -> str | None:
    """The text at a URL; None when there is no answer."""
    question = urllib.request.Request(url, headers={"Authorization": authorization})
    try:
        with DIRECT.open(question, timeout=ANSWER_TIMEOUT_S) as answer:
            found: bytes = answer.read()
    except (OSError, http.client.HTTPException):
        return None
    return found.decode(errors="replace")
