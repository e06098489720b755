"""What the fault tests share: a stage each, one Prefect server for all, and the figures."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from ebbtide.flows.prefect_server import server
from tests.faults.census import Census
from tests.faults.stage import LEASE_S, Stage
from tests.helpers import end_marked_processes

_FIGURES: pytest.StashKey[list[tuple[str, float, str]]] = pytest.StashKey()


class Note(Protocol):
    """Keep a figure of this test for the summary."""

    def __call__(self, seconds: float, what: str = "to nothing left") -> None: ...


@pytest.fixture
def stage(ebb_home: Path, tmp_path: Path) -> Iterator[Stage]:
    """An installation of this test alone; the test fails if a process of it outlives the test."""
    with tempfile.TemporaryDirectory(prefix="ebb-tmp-") as temporary:
        census = Census(ebb_home, Path(temporary))
        environment = {"EBB_HOME": str(ebb_home), "TMPDIR": temporary}
        made = Stage(ebb_home, tmp_path, census, environment)
        yield made
        made.tell()
        for process in made.flows:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """See ``Note``."""
    figures = request.config.stash.setdefault(_FIGURES, [])
    name = request.node.name.removeprefix("test_")

    def keep(seconds: float, what: str = "to nothing left") -> None:
        figures.append((name, seconds, what))

    return keep


@pytest.fixture(scope="session")
def prefect_environment() -> Iterator[Mapping[str, str]]:
    """A real Prefect server for all tests of a session, in an installation of its own."""
    with tempfile.TemporaryDirectory(prefix="ebb-", ignore_cleanup_errors=True) as folder:
        home = Path(folder).resolve()
        try:
            info = server.ensure(home, deadline_s=300.0, idle_s=3600.0)
            yield server.client_environment(info)
        finally:
            server.stop(home)
            end_marked_processes(home)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Seconds from each fault to its end, so that they can be cited."""
    figures = config.stash.get(_FIGURES, [])
    if figures:
        terminalreporter.section(f"from the fault on, in seconds; the lease is {LEASE_S:g} s")
        for name, seconds, what in figures:
            terminalreporter.write_line(f"{name:<62} {seconds:6.1f}  {what}")
