"""Where an option's value comes from, and what is said about a bad one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.errors import Problem
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.request.hints import nearest
from ebbtide.infra.request.option_values import RESERVED_VARIABLES
from ebbtide.infra.request.options import OPTIONS, merge


def cli(**values: Any) -> tuple[dict[str, Any], list[Problem]]:
    return merge(values, {}, file={})


def one_problem(values: dict[str, Any]) -> Problem:
    _, problems = merge(values, {}, file={})
    assert len(problems) == 1
    return problems[0]


def test_defaults_are_the_documented_ones() -> None:
    values, problems = cli()
    assert problems == []
    assert values == {
        "framework": "dask", "tier": None, "head-tier": None, "priority": None, "workers": (1, 4),
        "target-cpu": 80.0, "target-memory": 80.0, "scale-down-window": 300.0,
        "scale-up-window": None, "scale-up-step": None, "scale-down-step": None,
        "env": {}, "secret": (), "name": None, "workdir": ".",
        "start-within": 900.0, "time-limit": None, "idle-release": 600.0,
        "idle-action": "release", "retry": ("capacity", "infra"), "attempts": 3, "replacements": 2,
        "platform": "local", "lease": 30.0, "tag": (), "owner": None,
        "scale-on": ("cpu", "memory", "demand"), "target-backlog": 30.0, "no-progress": 600.0,
        "max-output": 2**30, "max-processes": "auto", "bridge": False, "outputs": "",
        "code": "", "code-limit": 100 * 2**20,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "workers"),
    [
        ({"cli": "2", "environ": "3", "file": "5", "weaker": "6"}, (2, 2)),
        ({"environ": "3", "file": "5", "weaker": "6"}, (3, 3)),
        ({"file": "5", "weaker": "6"}, (5, 5)),
        ({"weaker": "6"}, (6, 6)),
        ({"environ": "", "file": "5"}, (5, 5)),
        ({"cli": None, "file": "5"}, (5, 5)),
        ({}, (1, 4)),
    ],
    ids=["cli", "environment", "file", "built-in", "empty variable", "unset flag", "default"],
)
def test_the_strongest_source_wins(given: dict[str, Any], workers: tuple[int, int]) -> None:
    sources = {key: {"workers": value} for key, value in given.items() if key != "environ"}
    environ = {"EBB_WORKERS": given["environ"]} if "environ" in given else {}
    file, weaker = sources.get("file", {}), sources.get("weaker")
    values, problems = merge(sources.get("cli", {}), environ, file=file, weaker=weaker)
    assert (values["workers"], problems) == (workers, [])


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("workers", (1, 8), (1, 8)),
        ("workers", [2, 3], (2, 3)),
        ("workers", 3, (3, 3)),
        ("target-cpu", "75%", 75.0),
        ("target-memory", 62.5, 62.5),
        ("scale-down-window", "10s", 10.0),
        ("scale-up-window", "1m", 60.0),
        ("scale-down-step", 2, 2),
        ("scale-down-step", "none", None),
        ("scale-up-step", 3, 3),
        ("scale-up-step", "none", None),
        ("time-limit", "2h", 7200.0),
        ("time-limit", "never", None),
        ("max-output", "64Mi", 64 * 2**20),
        ("max-output", "none", None),
        ("max-processes", 50, 50),
        ("max-processes", "none", None),
        ("idle-release", "never", None),
        ("idle-action", "warn", "warn"),
        ("bridge", "yes", True),
        ("bridge", True, True),
        ("bridge", "0", False),
        ("retry", "never", ()),
        ("retry", "job,capacity", ("capacity", "job")),
        ("retry", ["infra"], ("infra",)),
        ("attempts", "10", 10),
        ("replacements", "0", 0),
        ("lease", "2s", 2.0),
        ("name", "copper-heron", "copper-heron"),
        ("env", ["A=1", "B=x=y", "C="], {"A": "1", "B": "x=y", "C": ""}),
        ("env", {"A": 1, "B": True}, {"A": "1", "B": "true"}),
        ("env", "A=two words", {"A": "two words"}),
        ("secret", ["KEY", "TOKEN", "KEY"], ("KEY", "TOKEN")),
        ("secret", "KEY,TOKEN", ("KEY", "TOKEN")),
        ("code", "here", ""),
        ("code", "git+ssh://git@h/r@v1#subdirectory=src", "git+ssh://git@h/r@v1#subdirectory=src"),
        ("code", f"s3://b/c.zip#sha256={'a' * 64}", f"s3://b/c.zip#sha256={'a' * 64}"),
        ("code-limit", "500Mi", 500 * 2**20),
        ("outputs", "here", ""),
        ("outputs", "s3://bucket/{run}/out", "s3://bucket/{run}/out"),
        ("outputs", "volume://claim", "volume://claim"),
    ],
)
def test_values(name: str, given: Any, value: Any) -> None:
    values, problems = merge({name: given}, {}, file={})
    assert (values[name], problems) == (value, [])


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("workers", "4..1"), ("workers", "many"), ("workers", 0), ("workers", {"min": 1}),
        ("target-cpu", "0"), ("target-cpu", "1001"), ("target-memory", "high"),
        ("scale-down-window", "300"), ("scale-down-step", "0"), ("scale-up-step", "0"),
        ("start-within", "soon"), ("time-limit", "-1h"),
        ("idle-release", "0s"), ("idle-action", "stop"), ("retry", "always"), ("retry", ""),
        ("attempts", "0"), ("attempts", "11"), ("attempts", "three"), ("lease", "1s"),
        ("replacements", "11"),
        ("name", "My Run"), ("name", "-x"), ("name", "a" * 41), ("tier", ""),
        ("tier", "a,,b"), ("tier", [["a"]]), ("framework", ["a", "b"]),
        ("env", "A"), ("env", "1A=2"), ("env", ["EBB_CLUSTER=mine"]),
        ("secret", "not-a-name"), ("max-output", "1GB"), ("max-output", "5Ki"),
        ("max-processes", "9"), ("max-processes", "many"), ("bridge", "maybe"),
        ("code", "host/repo"), ("code", "git+ext://sh"), ("code", "git+https://me:word@host/repo"),
        ("code", "git+https://host/repo#egg=x"), ("code", "s3://b/c.zip#subdirectory=../x"),
        ("code", "s3://b/c.zip#sha256=abc"), ("code-limit", "none"), ("code-limit", "5Ki"),
        ("outputs", "/srv/out"), ("outputs", "s3://"), ("outputs", "volume://Claim/x"),
        ("outputs", "volume://claim/../x"), ("outputs", "s3://bucket/{name}"),
        ("outputs", "ftp://me:word@host/x"),
    ],
)  # fmt: skip
def test_a_bad_value_is_a_problem_with_a_hint(name: str, bad: Any) -> None:
    problem = one_problem({name: bad})
    assert problem.summary.startswith(f"option --{name}: ")
    assert problem.hint


@pytest.mark.parametrize(
    ("source", "where"),
    [("cli", "option --workers: "), ("environ", "variable EBB_WORKERS: "),
     ("file", "ebb.yaml key workers: ")],
)  # fmt: skip
def test_a_problem_says_where_the_value_came_from(source: str, where: str) -> None:
    flag = {"workers": "x"}
    given = {"cli": {}, "environ": {}, "file": {}, source: flag}
    environ = {"EBB_WORKERS": "x"} if source == "environ" else {}
    _, problems = merge(given["cli"], environ, file=given["file"])
    assert problems[0].summary.startswith(where)


def test_all_problems_are_reported_at_once() -> None:
    environ = {"EBB_LEASE": "1s", "EBB_RETRY": "jobs"}
    _, problems = merge({"workers": "4..1", "env": ["A", "B"]}, environ, file={"atempts": 2})
    assert len(problems) == 6


def test_a_bad_value_is_replaced_by_the_default() -> None:
    values, _ = cli(workers="4..1")
    assert values["workers"] == (1, 4)


@pytest.mark.parametrize(
    ("given", "summary", "hint"),
    [
        ({"cli": {"wokers": 2}}, "option --wokers is unknown", "did you mean --workers?"),
        (
            {"file": {"head_teir": 2}},
            "ebb.yaml key head-teir is unknown",
            "did you mean head-tier?",
        ),
        ({"cli": {"zzz": 2}}, "option --zzz is unknown", "ebb run --help lists them"),
    ],
    ids=["flag", "key", "nothing near"],
)
def test_an_unknown_name_is_a_problem(given: dict[str, Any], summary: str, hint: str) -> None:
    _, problems = merge(given.get("cli", {}), {}, file=given.get("file", {}))
    assert [(problem.summary, problem.hint) for problem in problems] == [(summary, hint)]


@pytest.mark.parametrize(
    "name",
    ["EBB_HOME", "EBB_CLUSTER", "EBB_RUN", "EBB_TEST_SLOW", "EBB_WOKERS", "EBB_PREFECT_SERVER"],
)
def test_other_variables_of_ebb_are_ignored(name: str) -> None:
    assert merge({}, {name: "???"}, file={}) == cli()


def test_no_variable_that_ebb_gives_to_a_program_is_one_of_an_option() -> None:
    assert not {option.variable for option in OPTIONS.values()} & set(RESERVED_VARIABLES)


def test_no_program_may_overwrite_a_mark_of_its_process() -> None:
    mark = marks.mark(Path("/home"), RunName("run"), ClusterId("run-1"), "driver", "job")
    assert set(mark) < set(RESERVED_VARIABLES)


def test_underscores_are_accepted() -> None:
    values, problems = merge({}, {}, file={"scale_down_window": "7s"})
    assert (values["scale-down-window"], problems) == (7.0, [])


def test_env_of_all_sources_adds_up_and_the_strongest_value_wins() -> None:
    environ = {"EBB_ENV": "B='from shell' C=3"}
    values, _ = merge({"env": ["C=cli"]}, environ, file={"env": {"A": 1, "B": 2}})
    assert values["env"] == {"A": "1", "B": "from shell", "C": "cli"}


def test_an_open_quote_in_ebb_env_is_a_problem() -> None:
    _, problems = merge({}, {"EBB_ENV": "A='x"}, file={})
    assert problems[0].summary == "variable EBB_ENV: a quote is not closed"


def test_secrets_of_all_sources_add_up() -> None:
    values, _ = merge({"secret": ["C"]}, {"EBB_SECRET": "B, A"}, file={"secret": ["A"]})
    assert values["secret"] == ("A", "B", "C")


@pytest.mark.parametrize(
    ("word", "meant"),
    [("wrokers", "workers"), ("Dask", "dask"), ("kube", "kubernetes"), ("xyz", None), ("", None)],
)
def test_nearest(word: str, meant: str | None) -> None:
    assert nearest(word, ["workers", "dask", "kubernetes"]) == meant


@pytest.mark.parametrize("option", OPTIONS.values(), ids=lambda option: option.name)
def test_every_option_is_fully_described(option: Any) -> None:
    assert option.help
    assert option.metavar
    assert option.flag == f"--{option.name}"
    assert option.variable.replace("_", "-").lower() == f"ebb-{option.name}"
