"""``ebb doctor``: what is missing on this machine, and how to get it."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from ebbtide.flows.cli.output import print_json, say, show
from ebbtide.flows.cli.parsing.command import command, option
from ebbtide.flows.cli.parsing.shared import KUBERNETES, platform_option
from ebbtide.flows.cli.preparing import Preparation
from ebbtide.flows.detached import checking
from ebbtide.flows.detached.template import base_job_template
from ebbtide.flows.events import outbox
from ebbtide.flows.events.prefect_events import failed_actions
from ebbtide.flows.prefect_server import api, server
from ebbtide.flows.service import stack
from ebbtide.infra.errors import ConfigurationError, EbbError
from ebbtide.infra.frameworks.base import WITHOUT_CLUSTER, known_frameworks, load_framework
from ebbtide.infra.lifecycle.inventory import gather
from ebbtide.infra.models.phases import ExitCode
from ebbtide.infra.models.resources import format_memory
from ebbtide.infra.platforms.base import load_platforms
from ebbtide.infra.platforms.extras import PARTS, Finding, findings_on, manifests_on, namespace_on
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.sqlite.schema import VERSION
from ebbtide.infra.request.catalog import catalog_for
from ebbtide.infra.settings import load_settings

_DESCRIPTION = """Checks what is missing on this machine, or on another platform; exit 64 when
something essential is missing. JSON: a list of objects with the keys check, state (ok, warning,
missing), detail, fix."""
_HERE = "local"
_SERVER_TIMEOUT_S = 5.0
WORK_POOL = "work-pool"
_LITTLE_SPACE_BYTES = 200 * 2**20
_OLDEST_PYTHON = (3, 11)


@command("doctor", _DESCRIPTION, Preparation(ledger=False), place=KUBERNETES)
@platform_option(help="check another platform than this machine")
@option(
    "--print",
    type=click.Choice((*PARTS, WORK_POOL)),
    help="check nothing, and print what installs this part there, for kubectl apply -f -; "
    f"{WORK_POOL}: the base job template of one, for prefect work-pool create",
)
def main(options: Any) -> int:
    """Check this machine."""
    if options.print:
        platform, here = options.platform or _HERE, (os.environ, Path.cwd())
        if options.print == WORK_POOL:
            print(base_job_template(platform, *here), end="")
        else:
            print(manifests_on(platform, options.print, *here), end="")
        return ExitCode.OK
    if options.platform in (None, _HERE):
        findings = [finding for check in CHECKS for finding in check()]
    else:
        findings = _elsewhere(options.platform)
    if options.json:
        keys = ("check", "state", "detail", "fix")
        print_json([{key: getattr(finding, key) for key in keys} for finding in findings])
    else:
        for finding in findings:
            mark = {"ok": "✓", "warning": "!", "missing": "✗"}[finding.state]
            show(f"  {mark} {finding.check:<16} {finding.detail}")
            if finding.fix:
                show(f"      fix   {finding.fix}")
        bad = sum(finding.state == "missing" for finding in findings)
        say(f"{bad} essential things are missing" if bad else "ready")
    missing = any(finding.state == "missing" for finding in findings)
    return ExitCode.MISCONFIGURATION if missing else ExitCode.OK


def _elsewhere(platform: str) -> list[Finding]:
    """All that matters to a run on another platform."""
    here = (os.environ, Path.cwd())
    found = [_python()[0], *findings_on(platform, *here)]
    namespace = namespace_on(platform, *here)
    return [*found, *(checking.findings(os.environ, namespace) if namespace else ())]


def _python() -> list[Finding]:
    found = ".".join(str(part) for part in sys.version_info[:3])
    detail = f"{found} at {sys.executable}"
    if sys.version_info < _OLDEST_PYTHON:
        return [Finding("python", "missing", detail, "install Python 3.11 or newer")]
    first = shutil.which("python")
    if first and Path(first).resolve() != Path(sys.executable).resolve():
        detail = f"{detail}; `python` in a command line means {first}"
        return [
            Finding(
                "python",
                "warning",
                detail,
                "activate ebb's environment, or write PROGRAM.py without python",
            )
        ]
    return [Finding("python", "ok", detail)]


def _home() -> list[Finding]:
    settings = load_settings()
    home = settings.home
    try:
        open_store(settings).check()
    except EbbError as error:
        return [Finding("ledger", "missing", error.summary, error.hint)]
    free = shutil.disk_usage(home).free
    detail = f"{home} (version {VERSION}), {format_memory(free)} free"
    if free < _LITTLE_SPACE_BYTES:
        return [Finding("ledger", "warning", detail, "free some disk space")]
    return [Finding("ledger", "ok", detail)]


def _neighbours() -> list[Finding]:
    """Other users' clusters are not in our queue, so cores may be used by both."""
    try:
        catalog, _ = catalog_for(os.environ, Path.cwd())
        found = gather(load_settings(), catalog).neighbours
    except EbbError:
        return []  # whether catalog and ledger can be read are other checks
    if found.claims:
        detail = "; ".join(claim.message for claim in found.claims)
        return [
            Finding(
                "other users",
                "warning",
                detail,
                "give the pools in ebb.yaml less than the whole machine",
            )
        ]
    return [Finding("other users", "ok", found.hidden or "hold nothing")]


def _frameworks() -> list[Finding]:
    findings = []
    for name in known_frameworks():
        if name == WITHOUT_CLUSTER:
            continue
        framework = load_framework(name)
        problems = framework.problems(sys.executable)
        if problems:
            findings += [Finding(name, "warning", p.summary, p.hint) for p in problems]
        else:
            findings.append(Finding(name, "ok", framework.found()))
    return findings


def _prefect() -> list[Finding]:
    try:
        found = version("prefect")
        fastapi = version("fastapi")
    except PackageNotFoundError as error:
        return [Finding("prefect", "missing", str(error), "pip install ebbtide")]
    if tuple(int(part) for part in fastapi.split(".")[:2]) >= (0, 151):
        detail = f"prefect {found} with fastapi {fastapi}: its server fails at import"
        return [Finding("prefect", "missing", detail, 'pip install "fastapi<0.151"')]
    return [Finding("prefect", "ok", f"{found}, fastapi {fastapi}"), _prefect_server()]


def _prefect_server() -> Finding:
    named = api.named(os.environ)
    if named is None:
        info = server.running(load_settings().home)
        state = f"{info.ui_url} runs" if info else "the next run starts one"
        return Finding("prefect server", "ok", f"local: {state}")
    try:
        api.check(named, os.environ, timeout_s=_SERVER_TIMEOUT_S)
    except EbbError as error:
        first = error.problems[0] if isinstance(error, ConfigurationError) else None
        detail, fix = (first.summary, first.hint) if first else (error.detail, error.hint)
        return Finding("prefect server", "missing", detail, fix)
    return Finding("prefect server", "ok", named.url)


def _stack() -> list[Finding]:
    """A part of ebb up that dies again and again says so here; ``ebb status`` has the rest."""
    info = stack.running(load_settings())
    if info is None or not info.trouble:
        return []
    fix = f"see {stack.log_of(load_settings())}; ebb status"
    return [Finding("ebb up", "warning", info.trouble, fix)]


def _events() -> list[Finding]:
    """Automations that failed say so nowhere else; events that no server took wait on disk."""
    settings = load_settings()
    findings = []
    kept = len(outbox.waiting(settings))
    if kept:
        detail = f"{kept} events wait for a server"
        findings.append(Finding("events", "warning", detail, "ebb up, or the next ebb emit"))
    to = outbox.server_api(settings)
    since = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    try:
        failed = failed_actions(to, since) if to else []
    except EbbError:
        return findings  # whether the server answers is another check's business
    if failed:
        last = failed[-1]
        detail = f"{len(failed)} actions of automations failed in a day"
        why = f"{last.automation}: {last.why}"
        findings.append(Finding("automations", "warning", detail, f"look at the last: {why}"))
    return findings


def _machine() -> list[Finding]:
    findings = []
    try:
        catalog, _ = catalog_for(os.environ, Path.cwd())
        pools = ", ".join(f"{pool.name} ({pool.capacity})" for pool in catalog.pools)
        findings.append(Finding("catalog", "ok", f"{catalog.source}: {pools}"))
    except EbbError as error:
        findings.append(Finding("catalog", "missing", error.summary, error.hint))
    for platform in load_platforms(load_settings()):
        name = f"platform {platform.name}"
        problems = platform.problems()
        findings += [Finding(name, "missing", each.summary, each.hint) for each in problems]
    return findings


CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    _python,
    _home,
    _machine,
    _neighbours,
    _frameworks,
    _prefect,
    _stack,
    _events,
)
