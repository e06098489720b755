"""Fixtures and rules for all tests. Helpers that are not fixtures are in ``tests.helpers``."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.helpers import end_marked_processes, marked_processes, wait_until

settings.register_profile("ebb", deadline=None)  # a busy machine is no failure
settings.load_profile("ebb")

REQUIRE_ALL = "EBB_TEST_REQUIRE_ALL"
"""Set in CI: what is missing there is a failure, so that nothing passes by being skipped."""

ROOT = Path(__file__).parents[1]
SHORT_LIVED_JVMS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Spark's live for seconds in tests; the second compiler is half of what they would cost."""
_EXIT_GRACE_S = 3.0
"""For processes that have been told to go and are on their way out when the test ends."""


def pytest_configure() -> None:
    """What all that tests start inherits.

    A shell that runs us in the background ignores SIGINT for all we start; Prefect needs it.
    (It turns the SIGTERM of a flow run into SIGINT, so such a flow would never stop.)
    """
    os.environ.setdefault("JAVA_TOOL_OPTIONS", SHORT_LIVED_JVMS)
    # What a test starts has ended with it; tests/flows/test_behind_the_prompt.py has the other way.
    os.environ.setdefault("EBB_WAIT_FOR_RECORD", "yes")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def ebb_home() -> Iterator[Path]:
    """An EBB_HOME of this test alone; the test fails if a process of it is alive afterwards."""
    with _home() as home:
        yield home


@pytest.fixture(scope="module")
def home_of_module() -> Iterator[Path]:
    """The same for the tests of a module that share a cluster."""
    with _home() as home:
        yield home


@contextlib.contextmanager
def _home() -> Iterator[Path]:
    """Short, because the path of a unix socket may have 107 bytes, and ``tmp_path`` is long.

    A local Prefect server that the test made counts as well: end it in the test.
    """
    with (
        tempfile.TemporaryDirectory(prefix="ebb-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        home = Path(folder).resolve()
        patch.setenv("EBB_HOME", str(home))
        patch.setenv("PYTHONPATH", str(ROOT))  # ``tests.load`` comes to workers as users' modules
        yield home
        try:
            wait_until(lambda: not marked_processes(home), _EXIT_GRACE_S, "all processes ended")
        except AssertionError:
            left = end_marked_processes(home)
            lines = "".join(f"\n  {process.pid}  {process.command}" for process in left)
            pytest.fail(f"{len(left)} processes of this test were still alive:{lines}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where everything has to run, a skipped test has failed."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself (``pytest.importorskip``)."""
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and os.environ.get(REQUIRE_ALL) and not hasattr(report, "wasxfail"):
        where = report.longrepr
        reason = where[2] if isinstance(where, tuple) else where
        report.outcome = "failed"
        report.longrepr = f"{REQUIRE_ALL} is set, so this may not be skipped: {reason}"
