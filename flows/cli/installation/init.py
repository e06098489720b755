"""``ebb init``: an ebb.yaml to begin with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ebbtide.flows.cli.output import print_json, say
from ebbtide.flows.cli.parsing.command import command, option
from ebbtide.flows.cli.parsing.shared import KUBERNETES, platform_option
from ebbtide.flows.cli.preparing import Preparation
from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.platforms.extras import pools_on
from ebbtide.infra.request.catalog import FILE_NAME, Machine, load_catalog
from ebbtide.infra.request.ebb_yaml.schema import FILE_NAME as SCHEMA_NAME
from ebbtide.infra.request.ebb_yaml.schema import schema
from ebbtide.infra.request.ebb_yaml.written import file_text
from ebbtide.infra.request.machine import this_machine

_DESCRIPTION = f"""Writes {FILE_NAME} into the current folder: pools and tiers as this machine has
them, or with --platform kubernetes as the labels of its nodes say, and comments on what else may be
set. Beside it {SCHEMA_NAME}, by which editors complete and check it. A file that is there stays as
it is. JSON: an object with the keys file, schema, pools (their names)."""


@command("init", _DESCRIPTION, Preparation(ledger=False, remembered=False), place=KUBERNETES)
@platform_option(help="whose nodes say which pools there are; else this machine is one")
@option(
    "--label",
    metavar="NAME",
    default="",
    help="label of nodes that names their pool; the usual ones are tried",
)
@option("--print", is_flag=True, help="print it on stdout; write nothing")
def main(options: Any) -> int:
    """Write the file, or print it."""
    seen = pools_on(options.platform, os.environ, Path.cwd(), options.label)
    origin = f"the nodes of a Kubernetes ({options.platform})" if seen else "this machine"
    pools = seen or _here()
    text = file_text(pools, origin)
    if options.print:
        print(text, end="")
        return ExitCode.OK
    file, beside = Path(FILE_NAME), Path(SCHEMA_NAME)
    _write(file, text)
    beside.write_text(json.dumps(schema(), indent=2) + "\n")
    if options.json:
        names = [pool.name for pool in pools]
        print_json({"file": str(file.absolute()), "schema": str(beside.absolute()), "pools": names})
    else:
        say(f"  ✓ {file}, and {beside} for editors; ebb config show says what is in force")
    return ExitCode.OK


def _here() -> tuple[NodePool, ...]:
    """This machine, as without a file."""
    return load_catalog(None, Machine(this_machine()))[0].pools


def _write(file: Path, text: str) -> None:
    """Write a file that is not there yet.

    Raises:
        ConfigurationError: it is there, or cannot be made.
    """
    try:
        with file.open("x") as draft:
            draft.write(text)
    except FileExistsError:
        problem = Problem(Reason.CATALOG_INVALID, f"{file} is there already", "ebb init --print")
        raise ConfigurationError([problem]) from None
    except OSError as error:
        summary = f"{file} cannot be written: {error.strerror}"
        raise ConfigurationError([Problem(Reason.NO_PERMISSION, summary, "cd")]) from None
