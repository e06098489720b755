"""``ebb open RUN`` after release: what is kept, shown by a browser or listed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path

from ebbtide.flows.cli.output import print_json, print_table, say, show
from ebbtide.flows.cli.runs.pages.private import bring_in, has_browser
from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.files.kept import KeptFile, KeptKind
from ebbtide.infra.files.private import private_folder, private_opener, write_private
from ebbtide.infra.files.telling import since
from ebbtide.infra.frameworks.base import HeadInfo, ProcessSpec, load_framework
from ebbtide.infra.frameworks.door import SECRET_FILE, USER, new_secret
from ebbtide.infra.frameworks.heads import published
from ebbtide.infra.frameworks.interpreters import package_folder
from ebbtide.infra.frameworks.plan import MemberAddress, MemberPaths
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.models.records import Run
from ebbtide.infra.platforms.base import LOOPBACK_PAGE_HOSTS, Login, Platform
from ebbtide.infra.presentation.kept_text import PAGE, below, kept_data, kept_table
from ebbtide.infra.processes.environment import our_environment
from ebbtide.infra.processes.starting import end_with_parent
from ebbtide.infra.settings import OPENED, Settings
from ebbtide.infra.waiting import wait_until

_START_TIMEOUT_S = 180.0
_END_TIMEOUT_S = 5.0
_HEAD_FILE = "head.json"
_HERE = MemberAddress(bind="127.0.0.1", host="127.0.0.1", page_hosts=LOOPBACK_PAGE_HOSTS)


def kept_artifacts(run: Run, platform: Platform) -> list[KeptFile]:
    """Return what the members of a run's clusters have left, the latest last."""
    here = (file for file in platform.kept(run.name) if not file.host)
    found = [file for file in here if file.kind is KeptKind.ARTIFACT]
    return sorted(found, key=lambda file: file.changed)


def open_kept(
    run: Run, platform: Platform, settings: Settings, *, look_only: bool, as_json: bool
) -> int:
    """Show what is kept in the way that fits it, or list it.

    Args:
        run: that has been released, and has kept something.
        platform: its.
        settings: of this installation.
        look_only: whether no browser is to be opened.
        as_json: whether it is said as JSON.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: the framework's history server cannot be started here, or ended itself.
    """
    platform.fetch_artifacts(run.name)
    artifacts = kept_artifacts(run, platform)
    if below(artifacts, load_framework(run.spec.cluster.framework).history or "/"):
        _show_history(run, platform, settings, look_only=look_only, as_json=as_json)
        return ExitCode.OK
    pages = [file for file in artifacts if file.path.suffix == PAGE]
    if pages:
        _open_page(run, pages, look_only=look_only, as_json=as_json)
    else:
        _list(run, artifacts, as_json=as_json)
    return ExitCode.OK


def _show_history(
    run: Run, platform: Platform, settings: Settings, *, look_only: bool, as_json: bool
) -> None:
    """Show it by the framework's own server, until Ctrl-C or SIGTERM."""
    framework = load_framework(run.spec.cluster.framework)
    problems = framework.problems(sys.executable)
    if problems:
        raise ConfigurationError(problems)
    with (
        contextlib.suppress(KeyboardInterrupt),
        _stopped_by_sigterm(),
        _scratch(run, settings) as own,
    ):
        artifacts = platform.fetch_artifacts(run.name)
        spec = framework.history_server(_paths(framework.package, artifacts, own), _HERE)
        assert spec is not None, "it has a history"
        say(f"  the history server of {framework.name} is starting")
        with _running(spec, own) as process:
            head = _answering(run, process, own)
            login = Login(user=USER, password=head.secret, password_file=own / SECRET_FILE)
            bring_in(run.name, head.dashboard, login, look_only=look_only, as_json=as_json)
            say("  Ctrl-C ends it")
            process.wait()
            raise _failed(run, own, "has ended by itself")


@contextlib.contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _scratch(run: Run, settings: Settings) -> Iterator[Path]:
    """A private folder in the run's, with a new secret in it; gone afterwards."""
    above = private_folder(settings.home, "runs", run.name)
    folder = Path(tempfile.mkdtemp(prefix=OPENED, dir=above))
    try:
        write_private(folder / SECRET_FILE, new_secret())
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _running(spec: ProcessSpec, scratch: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server; it ends with the block, or with this process."""
    with open(_log(scratch), "ab", opener=private_opener) as log:
        process = subprocess.Popen(
            spec.argv,
            env={**our_environment(os.environ), **spec.env},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us
            preexec_fn=end_with_parent(signal.SIGTERM),  # noqa: PLW1509  our only thread
        )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_TIMEOUT_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answering(run: Run, process: subprocess.Popen[bytes], scratch: Path) -> HeadInfo:
    """Wait until the server says where it answers.

    Args:
        run: whose history it shows.
        process: of the server.
        scratch: its folder.

    Returns:
        Where it answers, and its secret.

    Raises:
        ConfigurationError: NO_DASHBOARD, it has ended or is not ready in time.
    """

    def ready() -> HeadInfo | bool:
        return published(scratch / _HEAD_FILE, scratch) or process.poll() is not None

    found = wait_until(ready, timeout_s=_START_TIMEOUT_S)
    if isinstance(found, HeadInfo):
        return found
    raise _failed(run, scratch, "has not started")


def _failed(run: Run, scratch: Path, what: str) -> ConfigurationError:
    said = since(_log(scratch), 0)
    summary = f"the history server of {run.name} {what}" + f": {said}" * bool(said)
    hint = f"its files: ebb logs {run.name} --list"
    return ConfigurationError([Problem(Reason.NO_DASHBOARD, summary, hint)])


def _log(scratch: Path) -> Path:
    return scratch / "server.log"


def _paths(package: str, artifacts: Path, scratch: Path) -> MemberPaths:
    return MemberPaths(
        python=sys.executable,
        framework=package_folder(package),
        secrets=scratch,
        scratch=scratch,
        artifacts=artifacts,
        head_file=scratch / _HEAD_FILE,
    )


def _open_page(run: Run, pages: Sequence[KeptFile], *, look_only: bool, as_json: bool) -> None:
    """Open the latest page: a file of the owner's, which no server shows."""
    url = pages[-1].path.as_uri()
    opened = not look_only and has_browser() and webbrowser.open(url)
    if as_json:
        _print_json(run, url, opened=opened, files=pages)
        return
    if opened:
        say(f"  {pages[-1].path} is opening in your browser")
    else:
        print(f"  Page       {url}")
    for file in pages[:-1]:
        show(f"  Earlier    {file.path.as_uri()}")


def _list(run: Run, artifacts: Sequence[KeptFile], *, as_json: bool) -> None:
    if as_json:
        _print_json(run, None, opened=False, files=artifacts)
        return
    table = kept_table(run.name, run.spec.cluster, artifacts)
    print_table(table.headers, table.rows)


def _print_json(run: Run, url: str | None, *, opened: bool, files: Sequence[KeptFile]) -> None:
    listed = kept_data(run.name, run.spec.cluster, files)
    nobody = {"user": None, "password_file": None}
    print_json({"run": run.name, "url": url, **nobody, "opened": opened, "files": listed})
