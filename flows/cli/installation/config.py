"""``ebb config``: what is in force and where it comes from, and the schema of ebb.yaml."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

from ebbtide.flows.cli.arguments import parse_run, place_flags
from ebbtide.flows.cli.output import Parser, print_json, print_table
from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.request.catalog import catalog_for
from ebbtide.infra.request.ebb_yaml.schema import schema
from ebbtide.infra.request.hints import did_you_mean
from ebbtide.infra.request.options import merge
from ebbtide.infra.request.origins import origins

_DESCRIPTION = """show: every setting, its value, and where that comes from: a flag, a variable, a
file, or the default. It takes all options of ebb run, and shows what they would change; values of
--env are not shown. What an administrator wrote down in a Kubernetes is not asked for: ebb tiers
--platform kubernetes shows it. schema: the JSON Schema of ebb.yaml, for editors (ebb init lays it
beside the file that it writes). JSON of show: a list of objects with the keys name, value,
source."""
_WHAT = ("show", "schema")


def main(args: list[str]) -> int:
    """Show settings, or print the schema."""
    what = next(iter(args), "--help")
    if what == "show" and not {"-h", "--help"} & set(args):
        return _show(args[1:])
    if not what.startswith("-") and what not in _WHAT:
        hint = did_you_mean(what, _WHAT, prefix="ebb config ", otherwise="ebb config show")
        problem = Problem(Reason.OPTION_INVALID, f"there is no ebb config {what}", hint)
        raise ConfigurationError([problem])
    parser = Parser("config", _DESCRIPTION)
    parser.add_argument("what", choices=_WHAT)
    parser.take(args or ["--help"])
    print_json(schema())
    return ExitCode.OK


def _show(args: list[str]) -> int:
    """Show every setting, or raise one error with all that is wrong."""
    arguments = parse_run(args)
    problems = list(arguments.problems)
    try:
        found = catalog_for(os.environ, Path.cwd(), arguments.options)
        problems += merge(arguments.options, os.environ, file=found[1])[1]
    except ConfigurationError as error:
        raise ConfigurationError([*problems, *error.problems]) from None
    if problems:
        raise ConfigurationError(problems)
    flags = {**arguments.options, **dict(place_flags(args))}
    listed = origins(flags, os.environ, Path.cwd(), found)
    if arguments.json:
        print_json([asdict(each) for each in listed])
    else:
        rows = [(each.name, each.value, each.source) for each in listed]
        print_table(("SETTING", "VALUE", "FROM"), rows)
    return ExitCode.OK
