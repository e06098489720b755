"""The one table of the options of ``ebb run``, and how a value is found and judged.

Each option is a flag, an environment variable and a key of ebb.yaml; all three are read here, so
that they can never differ. Does not belong here: what an option's value means together with others
(``infra.request.spec``), settings of the installation (``infra.settings``), reading files.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ebbtide.infra.errors import Problem
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import parse_duration_s, parse_memory, parse_worker_range

RESERVED_VARIABLES = (
    "EBB_CLUSTER",
    "EBB_HOME",
    "EBB_OUTPUT_DIR",
    "EBB_PROCESS",
    "EBB_ROLE",
    "EBB_RUN",
)
"""Ebb marks and finds its processes by these; a program's ``--env`` must not overwrite them."""

_MIN_OUTPUT_BYTES = 2**20
_MIN_PROCESSES = 10

RETRY_REASONS = ("capacity", "infra", "job")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One thing a user may say about a run."""

    name: str
    """As in ``--name``, ``EBB_NAME`` and ``run: {name: …}``; dashes between words."""
    parse: Callable[[str], Any]
    """Value of one text; a ValueError ``what is wrong; what to write`` becomes a Problem."""
    default: str | None
    """As a user would type it; None: nothing."""
    help: str
    metavar: str
    collect: Callable[[Iterable[Any]], Any] | None = None
    """For an option that may be repeated: what its values together become."""
    separator: str = ""
    """What stands between the parts when they are given as a list in ebb.yaml or Python."""

    @property
    def repeatable(self) -> bool:
        """Whether every source adds to it, instead of the strongest replacing the others."""
        return self.collect is not None

    @property
    def flag(self) -> str:
        """On the command line."""
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        """In the environment."""
        return "EBB_" + self.name.upper().replace("-", "_")


def merge(
    cli: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    file: Mapping[str, Any],
    weaker: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], list[Problem]]:
    """The value of every option, and everything that is wrong with what was given.

    The command line wins over the environment, that over the file, that over ``weaker`` (the
    built-in job's own wishes), that over the table. What may be repeated is added up instead. A
    bad value is replaced by the default, so that the caller can go on looking for problems.
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


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    by_lower = {name.lower(): name for name in known}
    lower = word.lower()
    close = difflib.get_close_matches(lower, by_lower, n=1)
    if not close and lower:
        close = [name for name in by_lower if name.startswith(lower)]
    return by_lower[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str], *, prefix: str = "", otherwise: str = "") -> str:
    """A hint that names the nearest word, or ``otherwise``."""
    near = nearest(word, known)
    return f"did you mean {prefix}{near}?" if near else otherwise


def problem_from(reason: Reason, where: str, error: ValueError) -> Problem:
    """A parser's ``what is wrong; what to write`` as a problem with a hint."""
    wrong, _, hint = str(error).partition("; ")
    return Problem(reason, f"{where}: {wrong}", hint)


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
    """Only the table's variables; an empty one is not set, and any other EBB_ name is not ours."""
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
                return option.parse(_text(source.values[option.name], option.separator))
            except ValueError as error:
                problems.append(source.problem(option, error))
                break
    return None if option.default is None else option.parse(option.default)


def _added_up(option: Option, sources: tuple[_Source, ...], problems: list[Problem]) -> Any:
    """Weakest source first, so that a name given twice has the strongest source's value."""
    assert option.collect is not None
    values = []
    for source in reversed(sources):
        try:
            texts = _texts(option, source.values.get(option.name, ()), shell=source.shell)
        except ValueError as error:
            problems.append(source.problem(option, error))
            continue
        for text in texts:
            try:
                values.append(option.parse(text))
            except ValueError as error:
                problems.append(source.problem(option, error))
    return option.collect(values)


def _text(value: Any, separator: str) -> str:
    """What a user would have typed for a value from ebb.yaml or from Python."""
    if isinstance(value, (list, tuple)) and separator:
        return separator.join(_text(part, "") for part in value)
    if isinstance(value, (dict, list, tuple)):
        raise ValueError("it holds several values; write a single one")
    if value is None:
        raise ValueError("a part of it has no value; write one, or two quotes for an empty one")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _texts(option: Option, value: Any, *, shell: bool) -> list[str]:
    """The parts of a repeatable option."""
    if isinstance(value, Mapping):
        return [f"{key}={_text(item, '')}" for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [_text(item, "") for item in value]
    if option.separator:
        return str(value).replace(option.separator, " ").split()
    try:
        return shlex.split(value) if shell else [str(value)]
    except ValueError:
        raise ValueError("a quote is not closed; write it like A=1 B='two words'") from None


def _word(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty; leave it out or write a word")
    return text.strip()


def _one_of(*known: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.strip() in known:
            return text.strip()
        hint = did_you_mean(text, known, otherwise="write one of them")
        raise ValueError(f"{text!r} is not one of {', '.join(known)}; {hint}")

    return parse


def _percent(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%?", text.strip())
    if not match or not 1 <= float(match[1]) <= 1000:
        raise ValueError(f"{text!r} is not a percentage from 1 to 1000; write it like 80")
    return float(match[1])


def _attempts(text: str) -> int:
    if not re.fullmatch(r"[1-9]|10", text.strip()):
        raise ValueError(f"{text!r} is not a number of attempts; write 1 to 10")
    return int(text)


def _lease_s(text: str) -> float:
    seconds = parse_duration_s(text)
    if seconds < 2:
        raise ValueError(f"{text!r} is too short for a lease; the least is 2s")
    return seconds


def _duration_or_never_s(text: str) -> float | None:
    return None if text.strip() in ("never", "none") else parse_duration_s(text)


def _output_bytes(text: str) -> int | None:
    if text.strip() == "none":
        return None
    try:
        amount = parse_memory(text)
    except ValueError as error:
        raise ValueError(str(error).replace("of memory", "of output")) from None
    if amount < _MIN_OUTPUT_BYTES:
        raise ValueError(f"{text!r} is too little output to keep; the least is 1Mi")
    return amount


def _processes(text: str) -> int | str | None:
    word = text.strip()
    if word in ("auto", "none"):
        return None if word == "none" else word
    if not word.isdecimal() or int(word) < _MIN_PROCESSES:
        rule = f"write {_MIN_PROCESSES} or more, auto, or none"
        raise ValueError(f"{text!r} is not a number of processes; {rule}")
    return int(word)


def _retry(text: str) -> tuple[str, ...]:
    if text.strip() == "never":
        return ()
    asked = [_one_of(*RETRY_REASONS)(word) for word in text.split(",")]
    return tuple(reason for reason in RETRY_REASONS if reason in asked)


def _run_name(text: str) -> str:
    if re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", text):
        return text
    near = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-")
    rule = "write at most 40 of a-z, 0-9 and - between them"
    raise ValueError(f"{text!r} is not a run's name; {rule}" + (f", like {near}" if near else ""))


def _variable_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError(f"{text!r} is not a variable's name; write letters, digits and _")
    if text in RESERVED_VARIABLES:
        raise ValueError(f"{text} is set by ebb itself; choose another name")
    return text


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} has no value; write it like NAME=value")
    return _variable_name(name), value


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _option(
    name: str, parse: Callable[[str], Any], default: str | None, metavar: str, help_: str
) -> Option:
    return Option(name=name, parse=parse, default=default, metavar=metavar, help=help_)


_TABLE = (
    _option("framework", _word, "dask", "NAME", "what the cluster is; none: no cluster"),
    _option("tier", _word, None, "NAME", "hardware tier of a worker; `ebb tiers` lists them"),
    _option("head-tier", _word, None, "NAME", "hardware tier of the head"),
    Option(
        name="workers",
        parse=parse_worker_range,
        default="1..4",
        metavar="MIN..MAX",
        help="least and most workers, or one number for always as many",
        separator="..",
    ),
    _option("target-cpu", _percent, "80", "PERCENT", "add workers above this use of their CPU"),
    _option("target-memory", _percent, "80", "PERCENT", "add workers above this use of memory"),
    _option("scale-down-window", parse_duration_s, "5m", "TIME", "calm before a worker leaves"),
    Option(
        name="env",
        parse=_assignment,
        default=None,
        metavar="K=V",
        help="a variable for the program and the workers; may be repeated",
        collect=dict,
    ),
    Option(
        name="secret",
        parse=_variable_name,
        default=None,
        metavar="NAME",
        help="pass on this shell's variable and never write its value down; may be repeated",
        collect=_distinct,
        separator=",",
    ),
    _option("name", _run_name, None, "NAME", "name of the run; made up when not given"),
    Option(
        name="tag",
        parse=_word,
        default=None,
        metavar="WORD",
        help="a word to find the run by and to sum cost by; may be repeated",
        collect=_distinct,
        separator=",",
    ),
    _option("owner", _word, None, "NAME", "who asks; the user of this session when not given"),
    _option("workdir", _word, ".", "FOLDER", "where the program runs, in place"),
    _option("start-within", parse_duration_s, "15m", "TIME", "give up when not started by then"),
    _option("time-limit", _duration_or_never_s, "none", "TIME", "end the program after this time"),
    _option(
        "idle-release", _duration_or_never_s, "10m", "TIME", "no work for so long is idle; or never"
    ),
    _option(
        "idle-action", _one_of("release", "warn"), "release", "WHAT", "when idle: release or warn"
    ),
    _option(
        "max-output",
        _output_bytes,
        "1Gi",
        "SIZE",
        "keep so much of what is printed: its beginning and the newest; or none: all",
    ),
    _option(
        "max-processes",
        _processes,
        "auto",
        "COUNT",
        "end a run with more processes; auto: 1000, and 32 a worker for many; or none",
    ),
    Option(
        name="retry",
        parse=_retry,
        default="capacity,infra",
        metavar="REASONS",
        help="failures worth a fresh cluster: capacity, infra, job; or never",
        separator=",",
    ),
    _option("attempts", _attempts, "3", "COUNT", "at most so many clusters, one after another"),
    _option("platform", _word, "local", "NAME", "where the processes live"),
    _option("lease", _lease_s, "30s", "TIME", "how long a cluster outlives its run's death"),
)

OPTIONS: dict[str, Option] = {option.name: option for option in _TABLE}
"""Every option of ``ebb run`` by name, in the order of the help."""
