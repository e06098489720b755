"""Spark's history server as a process: ``python -m ebbtide.infra.frameworks.spark.history JSON``.

It shows the event logs of one run after its release. Like a head it is the parent of a JVM, lets
people in by the front, and says where it answers once it does. Its scratch goes with it.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ebbtide.infra.files.private import write_private
from ebbtide.infra.frameworks import heads
from ebbtide.infra.frameworks.door import Door, read_secret
from ebbtide.infra.frameworks.front import Front, Page
from ebbtide.infra.frameworks.spark import jvm, pages

_CLASS = "org.apache.spark.deploy.history.HistoryServer"
_HEAP_MIB = 1024
"""It reads whole event logs; Spark's own default."""
_LOGGING = """
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %p %c{1}: %m%n%ex
"""
_START_TIMEOUT_S = 120.0
_LIST_TIMEOUT_S = 30.0
"""From its first answer until it has found the event logs; an unreadable one is never listed."""
_LOOK_EVERY_S = 0.2


def configuration(logs: Path, port: int) -> dict[str, str]:
    """Return the settings of the server, with a new key for its pages.

    Args:
        logs: the folder of the event logs.
        port: where it listens.

    Returns:
        Values by their names, for ``pages.CONFIGURATION``.
    """
    return {
        **pages.settings(),
        "spark.ui.reverseProxy": "false",
        "spark.history.fs.logDirectory": logs.as_uri(),
        "spark.history.fs.cleaner.enabled": "false",  # it only looks
        "spark.history.ui.port": str(port),
    }


def start_path(applications: list[dict[str, Any]]) -> str:
    """Return the page to begin with: that of the only application, or the list of all.

    Args:
        applications: as the server lists them.

    Returns:
        A path. An application that was killed is in a list of its own.
    """
    if len(applications) == 1:
        return f"/history/{applications[0]['id']}/"
    completed = any(each["attempts"][-1].get("completed") for each in applications)
    return "/" if completed else "/?showIncomplete=true"


def applications(url: str, authorization: str, ended: threading.Event) -> list[dict[str, Any]]:
    """Wait until the server has read what there is.

    Args:
        url: of its page.
        authorization: the header that it takes.
        ended: set when it has ended.

    Returns:
        Its applications; empty when it has found none in time.

    Raises:
        TimeoutError: when it does not answer in time, or has ended.
    """
    began_s, deadline_s = time.monotonic(), _START_TIMEOUT_S
    answered = False
    while time.monotonic() - began_s < deadline_s and not ended.wait(_LOOK_EVERY_S):
        found = jvm.ask(f"{url}/api/v1/applications", authorization)
        if found:
            return list(found)
        if found is not None and not answered:
            answered, deadline_s = True, time.monotonic() - began_s + _LIST_TIMEOUT_S
    if answered and not ended.is_set():
        return []
    raise TimeoutError("the history server did not answer")


def main(settings: dict[str, Any]) -> int:
    """Serve until ended."""
    scratch, ended = Path(settings["scratch"]), threading.Event()
    port = jvm.free_port(settings["bind"])
    values = configuration(Path(settings["logs"]), port)
    lines = "".join(f"{key} {value}\n" for key, value in values.items())
    write_private(Path(settings["secrets"]) / pages.CONFIGURATION, lines)
    write_private(Path(settings["secrets"]) / "log4j2.properties", _LOGGING)
    process = jvm.start(scratch, _CLASS, heap_mib=_HEAP_MIB)
    signal.signal(signal.SIGCHLD, lambda *_: ended.set())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        show(settings, port, ended)
        return process.wait()
    except SystemExit:  # told to end, perhaps because nobody is left who would clear up
        process.kill()
        process.wait()
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    finally:
        process.kill()


def show(settings: dict[str, Any], port: int, ended: threading.Event) -> None:
    """Let people in, once the server behind answers.

    Args:
        settings: of this process.
        port: where the server listens.
        ended: set when it has ended.

    Raises:
        TimeoutError: when it does not answer.
    """
    secrets, host = Path(settings["secrets"]), settings["host"]
    authorization = pages.bearer(secrets)
    start = start_path(applications(f"http://{host}:{port}", authorization, ended))
    front = Front(Door(read_secret(secrets), settings["page_hosts"]), settings["bind"])
    page = Page(host=host, port=port, authorization=authorization, start=start)
    front.serve(dict, page)
    url = f"http://{host}:{front.port}"
    heads.publish(Path(settings["head_file"]), address=url, front=url)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
