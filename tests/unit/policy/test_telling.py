"""The line that tells why a process ended: worked cases as they are really printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebbtide.infra.files.telling import since
from ebbtide.infra.policy.explain.telling import death, error_line, same_way, telling_line

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


RAY = """2026-11-26 23:07:58,157\tINFO node.py:438 -- Failed to get node info b'RPC error'
Traceback (most recent call last):
  File "worker.py", line 94, in main
    node = start_node(settings, head["address"])
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
Exception: The current node timed out during startup. This could happen because some of it
"""
SPARK = """26/11/26 23:00:00 ERROR Worker: Connection to master failed!
Exception in thread "main" java.lang.ExceptionInInitializerError
\tat org.apache.spark.deploy.worker.Worker$.main(Worker.scala:1)
Caused by: java.net.BindException: Cannot assign requested address
\tat java.base/sun.nio.ch.Net.bind0(Native Method)
\t... 12 more
"""


def test_of_a_chain_of_tracebacks_it_is_the_last_with_the_one_it_came_from() -> None:
    first = "PermissionError: [Errno 13] Permission denied: '/tmp/x'"
    assert telling_line(TRACEBACK) == f"RuntimeError: later (after {first})"


def test_of_two_tracebacks_that_have_nothing_to_do_with_each_other_it_is_the_last() -> None:
    apart = TRACEBACK.replace("During handling of the above exception", "tried again")
    assert telling_line(apart) == "RuntimeError: later"


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (RAY, "Exception: The current node timed out during startup. This could happen because"),
        (SPARK, "java.net.BindException: Cannot assign requested address"),
        ("a\nOSError: [Errno 98] Address already in use\nbye\n", "OSError: [Errno 98] Address al"),
        ("java: error while loading shared libraries: libz.so.1: cannot open\n", "java: error whi"),
        ("starting\nKilled\n", "Killed"),
        ("OpenJDK: error='Cannot allocate memory' (errno=12)\n#\n", "OpenJDK: error='Cannot all"),
        ('Traceback (most recent call last):\n  File "x", line 1\nKeyError\n', "KeyError"),
        ('Fatal Python error: Segmentation fault\n\nThread 0x1:\n  File "x"\n', "Fatal Python "),
    ],
)
def test_error_is_found_in_what_was_written_around_it(log: str, line: str) -> None:
    assert telling_line(log).startswith(line)
    assert error_line(log) == telling_line(log)


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("a\nWork pool 'x' not found!\n\n─────\n", "Work pool 'x' not found!"),
        (
            "26/11/26 ERROR Worker: All masters are unresponsive!\nINFO bye\n",
            "26/11/26 ERROR Worker",
        ),
        ("Traceback (most recent call last):\n", ""),
        ("", ""),
    ],
)
def test_without_an_error_it_is_the_last_line_that_says_anything(log: str, line: str) -> None:
    assert telling_line(log).startswith(line)
    assert bool(telling_line(log)) is bool(line)
    assert error_line(log) == ""


def test_error_that_only_announces_its_text_is_told_with_it() -> None:
    log = (
        "Traceback (most recent call last):\n  File x\n"
        "grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC that terminated with:\n"
        '\tstatus = StatusCode.UNAVAILABLE\n\tdetails = "failed to connect to all addresses"\n>\n'
    )
    assert telling_line(log).endswith(
        'terminated with: details = "failed to connect to all addresses"'
    )


def test_line_is_cut_where_it_is_no_line_any_more() -> None:
    assert len(telling_line("x" * 1000)) == 300


def test_death_without_a_word_says_so() -> None:
    assert death(1, "") == "exited with 1, and its log says nothing"
    assert death(-9, "Killed").startswith("was killed by SIGKILL (137): ")
    assert death(-9, "Killed").endswith("; its log says: Killed")


def test_numbers_do_not_make_two_ends_different() -> None:
    assert same_way("OSError: port 8786, pid 12", "OSError: port 8787, pid 345")
    assert not same_way("OSError: a", "OSError: b")
    assert not same_way("", "")


def test_what_was_written_before_does_not_count(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(TRACEBACK)
    assert since(log, log.stat().st_size) == ""
    assert since(log, 0) == TRACEBACK
