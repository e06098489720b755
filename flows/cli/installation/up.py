"""``ebb up``: Prefect's server and worker, and all deployments, on this machine."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ebbtide.flows.cli.output import print_json, say
from ebbtide.flows.cli.parsing.command import command, option
from ebbtide.flows.cli.preparing import Preparation
from ebbtide.flows.prefect_server.api import auth_file
from ebbtide.flows.prefect_server.bind import LOOPBACK, Bind
from ebbtide.flows.prefect_server.certificates import checked
from ebbtide.flows.service import stack
from ebbtide.flows.service.stack import StackInfo
from ebbtide.flows.service.unit import unit_of
from ebbtide.infra.errors import ConfigurationError, Problem, ProvisioningError
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.settings import Settings, load_settings
from ebbtide.infra.waiting import now_s, pause

_DESCRIPTION = """Starts what scheduled, event-triggered and ad-hoc runs need: a Prefect server
(or uses the one that PREFECT_API_URL names), a work pool, a Prefect worker, all deployments of
deployments.yaml, and the reaper. It goes on when the terminal is closed; `ebb down` ends it.
Programs are looked for in the folder where `ebb up` was typed. The server listens on loopback and
asks for this installation's secret (`ebb open` signs a browser in); with --host it listens for
other machines too, by TLS only. With --print-unit nothing is started: the text of a unit for
systemd is printed, which does the same for this folder, with the same options. JSON: an object
with the keys ready, ui_url, pool, limit, folder, done."""
_TIMEOUT_S = 600.0
_LOOK_EVERY_S = 0.1


@command("up", _DESCRIPTION, Preparation(remembered=False, changes=True))
@option(
    "--limit", type=int, metavar="N", default=4, help="maximum number of runs at once (default 4)"
)
@option("--host", metavar="ADDRESS", default=LOOPBACK, help="address on which the server listens")
@option("--tls", is_flag=True, help="use a certificate made here")
@option(
    "--tls-cert", type=click.Path(), metavar="FILE", default="", help="use this certificate (PEM)"
)
@option(
    "--tls-key",
    type=click.Path(),
    metavar="FILE",
    default="",
    help="private key of --tls-cert (PEM)",
)
@option("--print-unit", is_flag=True, help="print a user unit for systemd; start nothing")
def main(options: Any) -> int:
    """Bring it up and say where it is."""
    settings = load_settings()
    if options.print_unit:
        typed = list(_typed_for_a_unit(click.get_current_context()))
        print(unit_of(settings, Path.cwd(), typed, os.environ), end="")
        return ExitCode.OK
    bind = _bind(options, settings)
    info = stack.running(settings)
    if info is None:
        info = stack.start(settings, Path.cwd(), limit=options.limit, bind=bind, environ=os.environ)
        info = _follow(settings, quiet=options.json)
    elif not options.json:
        say(f"  it is up already, from {info.folder}")
    if options.json:
        keys = ("ready", "ui_url", "pool", "limit", "folder", "done")
        print_json({key: getattr(info, key) for key in keys})
    else:
        _show(info)
    return ExitCode.OK


def _typed_for_a_unit(ctx: click.Context) -> Iterator[str]:
    """Yield the options that were typed, without those that are about printing."""
    for param in ctx.command.params:
        name = param.name or ""
        typed = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if typed and name not in ("print_unit", "json"):
            yield param.opts[0]
            yield from () if ctx.params[name] is True else (str(ctx.params[name]),)


def _bind(options: Any, settings: Settings) -> Bind:
    """Return where the server is to listen.

    Raises:
        ConfigurationError: with everything that is wrong with it.
    """
    if os.environ.get("PREFECT_API_URL"):
        return Bind()
    if not settings.prefect_server:
        summary = "EBB_PREFECT_SERVER=off: no server may be started"
        hint = "unset it, or name a server by PREFECT_API_URL"
        raise ConfigurationError([Problem(Reason.OPTION_INVALID, summary, hint)])
    folder = settings.home / "prefect"
    if options.tls:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return checked(
        options.host, options.tls_cert, options.tls_key, self_signed=options.tls, folder=folder
    )


def _follow(settings: Settings, *, quiet: bool) -> StackInfo:
    """Show each part as it comes up, until all are ready.

    Raises:
        ProvisioningError: PREFECT_UNREACHABLE, with why it gave up.
    """
    began_s = last_s = now_s()
    shown: set[str] = set()
    while now_s() - began_s < _TIMEOUT_S:
        info = stack.last(settings)
        for part, message in info.done.items() if info else ():
            if part not in shown and not quiet:
                say(f"  ✓ {part:<15} {message:<54} {now_s() - last_s:5.1f}s")
                last_s = now_s()
            shown.add(part)
        if info is None or info.failed or not info.alive:
            break
        if info.ready:
            return info
        pause(_LOOK_EVERY_S)
    raise ProvisioningError(
        Reason.PREFECT_UNREACHABLE,
        "ebb up gave up",
        detail=(info.failed if info else "") or "its manager ended without a message",
        hint=f"see {stack.log_of(settings)}",
    )


def _show(info: StackInfo) -> None:
    say("")
    home = load_settings().home
    say(f"  Prefect   {info.ui_url}   in a browser: ebb open")
    say(f"  Run       {info.ui_url}/deployments   or   ebb run hello")
    if auth_file(home).exists() and not os.environ.get("PREFECT_API_URL"):
        say(f"  Secret    in {_short(auth_file(home))}, if the UI asks for it")
        say(f"  prefect   export PREFECT_HOME={_short(home / 'prefect')}   lets you type prefect")
    say(f"  In        {info.folder}")
    say("  Held      until ebb down")


def _short(path: Path) -> str:
    """Write a path as one types it in a shell."""
    plain = shlex.quote(str(path))
    if plain == str(path) and path.is_relative_to(Path.home()):
        return f"~/{path.relative_to(Path.home())}"
    return plain
