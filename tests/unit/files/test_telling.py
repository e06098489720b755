"""The line that tells why a process ended."""

from __future__ import annotations

from pathlib import Path

from ebbtide.infra.files.telling import since, telling_line

TRACEBACK = """starting
Traceback (most recent call last):
  File "x.py", line 1, in <module>
    raise OSError("no")
PermissionError: [Errno 13] Permission denied: '/tmp/x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "y.py", line 1, in <module>
RuntimeError: later
goodbye
"""


def test_it_is_the_first_tracebacks_own() -> None:
    assert telling_line(TRACEBACK) == "PermissionError: [Errno 13] Permission denied: '/tmp/x'"


def test_without_a_traceback_it_is_the_last_that_says_anything() -> None:
    assert telling_line("a\nWork pool 'x' not found!\n\n─────\n") == "Work pool 'x' not found!"


def test_what_was_written_before_does_not_count(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(TRACEBACK)
    assert since(log, log.stat().st_size) == ""
