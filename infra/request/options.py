"""The one table of the options of ``ebb run``, and how a value is found and judged.

Each option is a flag, an environment variable and a key of ebb.yaml; all three are read here, so
that they can never differ. Does not belong here: what an option's value means together with others
(``infra.request.spec``), settings of the installation (``infra.settings``), reading files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ebbtide.infra.errors import Problem
from ebbtide.infra.models.cluster import SCALE_ON
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import parse_duration_s, parse_worker_range
from ebbtide.infra.request.hints import did_you_mean, problem_from
from ebbtide.infra.request.option import Option
from ebbtide.infra.request.option_values import (
    as_typed,
    distinct,
    one_for_each_name,
    parse_assignment,
    parse_attempts,
    parse_choice,
    parse_choices,
    parse_code,
    parse_code_limit,
    parse_duration_or_never_s,
    parse_lease_s,
    parse_names,
    parse_output_bytes,
    parse_outputs,
    parse_percent,
    parse_priority,
    parse_processes,
    parse_replacements,
    parse_retry,
    parse_run_name,
    parse_secret,
    parse_switch,
    parse_word,
    parse_workers_or_none,
)


def merge(
    cli: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    file: Mapping[str, Any],
    weaker: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], list[Problem]]:
    """Find the value of every option, and everything that is wrong with what was given.

    The command line wins over the environment, that over the file, that over ``weaker``, that over
    the table. The values of a repeatable option are added up instead. A bad value is replaced by
    the default, so that the caller can go on looking for problems.

    Args:
        cli: values by option name, with dashes or underscores; None: not given.
        environ: the environment, in which ``EBB_`` variables are looked for.
        file: values under ``run`` in ebb.yaml, by option name.
        weaker: the wishes of the built-in job, by option name.

    Returns:
        The value of every option by name, and the problems; none when all is well.
    """
    sources = (
        _Source("option --", "--", _spelled(cli)),
        _Source("variable ", "", _environment(environ), shell=True),
        _Source("ebb.yaml key ", "", _spelled(file)),
        _Source("the built-in job's ", "", _spelled(weaker or {})),
    )
    problems = [problem for source in sources for problem in _unknown(source)]
    values = {}
    for option in OPTIONS.values():
        choose = _added_up if option.repeatable else _strongest
        values[option.name] = choose(option, sources, problems)
    return values, problems


@dataclass(frozen=True, slots=True)
class _Source:
    """One place that options come from."""

    label: str
    prefix: str
    values: Mapping[str, Any]
    shell: bool = False
    """Several values of a repeatable option are one text, quoted as in a shell."""

    def where(self, option: Option) -> str:
        return self.label + (option.variable if self.shell else option.name)

    def problem(self, option: Option, error: ValueError) -> Problem:
        return problem_from(Reason.OPTION_INVALID, self.where(option), error)


def _spelled(values: Mapping[str, Any]) -> dict[str, Any]:
    given = {str(name).replace("_", "-"): value for name, value in values.items()}
    return {name: value for name, value in given.items() if value is not None}


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the values of the table's variables that are set and not empty."""
    found = {option.name: environ.get(option.variable) for option in OPTIONS.values()}
    return {name: text for name, text in found.items() if text}


def _unknown(source: _Source) -> Iterable[Problem]:
    for name in source.values:
        if name not in OPTIONS:
            otherwise = "ebb run --help lists them"
            hint = did_you_mean(name, OPTIONS, prefix=source.prefix, otherwise=otherwise)
            yield Problem(Reason.OPTION_INVALID, f"{source.label}{name} is unknown", hint)


def _strongest(option: Option, sources: Iterable[_Source], problems: list[Problem]) -> Any:
    for source in sources:
        if option.name in source.values:
            try:
                return option.parse(as_typed(source.values[option.name], option.separator))
            except ValueError as error:
                problems.append(source.problem(option, error))
                break
    return None if option.default is None else option.parse(option.default)


def _added_up(option: Option, sources: tuple[_Source, ...], problems: list[Problem]) -> Any:
    """Add up the values of all sources, the weakest first: of one name the strongest counts."""
    assert option.collect is not None
    values = []
    for source in reversed(sources):
        try:
            texts = option.texts(source.values.get(option.name, ()), shell=source.shell)
        except ValueError as error:
            problems.append(source.problem(option, error))
            continue
        for text in texts:
            try:
                values.append(option.parse(text))
            except ValueError as error:
                problems.append(source.problem(option, error))
    return option.collect(values)


def _option(
    name: str, parse: Callable[[str], Any], default: str | None, metavar: str, help_: str
) -> Option:
    return Option(name=name, parse=parse, default=default, metavar=metavar, help=help_)


_TABLE = (
    _option(
        "framework",
        parse_word,
        "dask",
        "NAME",
        "framework of the cluster; none: a plain program without a cluster",
    ),
    Option(
        name="tier",
        parse=parse_names,
        default=None,
        metavar="NAME[,NAME]",
        help="hardware tier of each worker (`ebb tiers` lists them); the next one is taken when "
        "one cannot be had: out of stock, quota, no node",
        separator=",",
    ),
    Option(
        name="head-tier",
        parse=parse_names,
        default=None,
        metavar="NAME[,NAME]",
        help="hardware tier of the head; of several, the first of the workers' pool",
        separator=",",
    ),
    _option(
        "priority",
        parse_priority,
        None,
        "CLASS",
        "PriorityClass of all pods of the run, for that of their tiers (Kubernetes)",
    ),
    Option(
        name="workers",
        parse=parse_worker_range,
        default="1..4",
        metavar="MIN..MAX",
        help="minimum and maximum number of workers, or one number for a fixed size",
        separator="..",
    ),
    _option(
        "target-cpu",
        parse_percent,
        "80",
        "PERCENT",
        "add workers when they use more than this of their CPU",
    ),
    _option(
        "target-memory",
        parse_percent,
        "80",
        "PERCENT",
        "add workers when they use more than this of their memory",
    ),
    Option(
        name="scale-on",
        parse=parse_choices(*SCALE_ON),
        default=",".join(SCALE_ON),
        metavar="WHAT",
        help="what workers are added for; cpu,memory leaves out tasks that wait (demand)",
        separator=",",
    ),
    _option(
        "target-backlog",
        parse_duration_s,
        "30s",
        "TIME",
        "add workers when those there are need longer than this for the tasks that wait",
    ),
    _option(
        "scale-down-window",
        parse_duration_s,
        "5m",
        "TIME",
        "how long the load must be low before a worker is removed",
    ),
    _option(
        "scale-up-window",
        parse_duration_or_never_s,
        "none",
        "TIME",
        "how long the load must be high before workers are added for it; none: at once",
    ),
    _option(
        "scale-up-step",
        parse_workers_or_none,
        "none",
        "N",
        "add at most so many workers in a minute for their load; none: 4, or twice as many, in 15s",
    ),
    _option(
        "scale-down-step",
        parse_workers_or_none,
        "none",
        "N",
        "let at most so many workers leave in a minute",
    ),
    Option(
        name="env",
        parse=parse_assignment,
        default=None,
        metavar="K=V",
        help="set a variable for the program and the workers; may be repeated",
        collect=dict,
    ),
    Option(
        name="secret",
        parse=parse_secret,
        default=None,
        metavar="NAME",
        help="pass on this variable of the shell, never written to disk, or (Kubernetes) "
        "NAME=SECRET/KEY of a Secret; may be repeated",
        collect=one_for_each_name,
        separator=",",
    ),
    Option(
        name="bridge",
        parse=parse_switch,
        default="no",
        metavar="yes|no",
        help="lead clusters that the program makes for itself, like local[*], to the run's own",
        switch=True,
    ),
    _option("name", parse_run_name, None, "NAME", "name of the run; generated when not given"),
    Option(
        name="tag",
        parse=parse_word,
        default=None,
        metavar="WORD",
        help="label to find the run by and to sum costs by; may be repeated",
        collect=distinct,
        separator=",",
    ),
    _option(
        "owner", parse_word, None, "NAME", "who asks for the run; the current user when not given"
    ),
    _option("workdir", parse_word, ".", "FOLDER", "folder in which the program runs, in place"),
    _option(
        "code",
        parse_code,
        "here",
        "WHERE",
        "where its code is: here (the workdir), git+URL@REVISION, or the URL of an archive",
    ),
    _option("code-limit", parse_code_limit, "100Mi", "SIZE", "how much code is sent to pods"),
    _option(
        "start-within",
        parse_duration_s,
        "15m",
        "TIME",
        "give up when the program has not started by then",
    ),
    _option(
        "time-limit", parse_duration_or_never_s, "none", "TIME", "end the program after this time"
    ),
    _option(
        "idle-release",
        parse_duration_or_never_s,
        "10m",
        "TIME",
        "how long without a running task counts as idle; or never",
    ),
    _option(
        "idle-action",
        parse_choice("release", "warn"),
        "release",
        "WHAT",
        "what to do when idle: release the cluster, or warn",
    ),
    _option(
        "no-progress",
        parse_duration_or_never_s,
        "10m",
        "TIME",
        "say so when tasks have run for so long, none ended and no CPU was used; or never",
    ),
    _option(
        "max-output",
        parse_output_bytes,
        "1Gi",
        "SIZE",
        "how much of logs (beginning and newest) and artifacts (newest) is kept; none: all",
    ),
    _option(
        "max-processes",
        parse_processes,
        "auto",
        "COUNT",
        "end a run with more processes; auto: 1000, or 32 per worker if more; none: no limit",
    ),
    _option(
        "outputs",
        parse_outputs,
        "here",
        "WHERE",
        "where EBB_OUTPUT_DIR goes: here, URL, volume://CLAIM",
    ),
    Option(
        name="retry",
        parse=parse_retry,
        default="capacity,infra",
        metavar="REASONS",
        help="failures after which a fresh cluster is tried: capacity, infra, job; or never",
        separator=",",
    ),
    _option(
        "attempts",
        parse_attempts,
        "3",
        "COUNT",
        "how often the program is tried with --retry job; only its own failures count",
    ),
    _option(
        "replacements",
        parse_replacements,
        "2",
        "COUNT",
        "how many fresh clusters follow failures of capacity or infra; they are no attempts",
    ),
    _option("platform", parse_word, "local", "NAME", "where the cluster runs"),
    _option(
        "lease", parse_lease_s, "30s", "TIME", "how long the cluster lives on when its run has died"
    ),
)

OPTIONS: dict[str, Option] = {option.name: option for option in _TABLE}
"""Every option of ``ebb run`` by name, in the order of the help."""
