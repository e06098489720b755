"""``ebb config``: what is in force and where it comes from, and the schema of ebb.yaml."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ebbtide.flows.cli.output import print_json, print_table
from ebbtide.flows.cli.parsing.command import Group, command
from ebbtide.flows.cli.parsing.run_line import RunArguments, run_line
from ebbtide.flows.cli.preparing import Preparation
from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.models.phases import ExitCode
from ebbtide.infra.request.catalog import catalog_for
from ebbtide.infra.request.ebb_yaml.schema import schema
from ebbtide.infra.request.options import merge
from ebbtide.infra.request.origins import origins

_DESCRIPTION = """Shows what is in force and where it comes from, or the schema of ebb.yaml. JSON of
show: a list of objects with the keys name, value, source."""
_SHOW = """Shows every setting, its value, and where that comes from: a flag, a variable, a file,
or the default. It takes all options of ebb run, and shows what they would change; values of --env
are not shown. What an administrator wrote down in a Kubernetes is not asked for: ebb tiers
--platform kubernetes shows it. JSON: a list of objects with the keys name, value, source."""
_SCHEMA = """Prints the JSON Schema of ebb.yaml, for editors (ebb init lays it beside the file that
it writes)."""
_SHORT = {
    "show": "every setting, its value, and where that comes from",
    "schema": "the JSON Schema of ebb.yaml, for editors",
}
_ALONE = Preparation(place=False, ledger=False)


@run_line("show", _SHOW, _ALONE, short_help=_SHORT["show"], json="one JSON document on stdout")
def _show(arguments: RunArguments) -> int:
    """Show every setting, or raise one error with all that is wrong."""
    problems = list(arguments.problems)
    try:
        found = catalog_for(os.environ, Path.cwd(), arguments.options)
        problems += merge(arguments.options, os.environ, file=found[1])[1]
    except ConfigurationError as error:
        raise ConfigurationError([*problems, *error.problems]) from None
    if problems:
        raise ConfigurationError(problems)
    flags = {**arguments.options, **arguments.place}
    listed = origins(flags, os.environ, Path.cwd(), found)
    if arguments.json:
        print_json([asdict(each) for each in listed])
    else:
        rows = [(each.name, each.value, each.source) for each in listed]
        print_table(("SETTING", "VALUE", "FROM"), rows)
    return ExitCode.OK


@command("schema", _SCHEMA, _ALONE, short_help=_SHORT["schema"])
def _schema(_options: Any) -> int:
    """Print the schema."""
    print_json(schema())
    return ExitCode.OK


main = Group("config", help=_DESCRIPTION, commands=[_show, _schema])
