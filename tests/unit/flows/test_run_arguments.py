"""The command line of ``ebb run``."""

from __future__ import annotations

import pytest

from ebbtide.flows.cli.commands import help_of
from ebbtide.flows.cli.parsing.run_line import GROUPS
from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.frameworks.base import known_frameworks
from ebbtide.infra.platforms.base import known_platforms
from ebbtide.infra.request.options import OPTIONS
from tests.run_lines import run_arguments


def test_program_and_its_arguments_are_told_from_ours() -> None:
    found = run_arguments("--workers", "1..8", "train.py", "--", "--epochs", "3")
    assert found.argv == ("train.py", "--epochs", "3")
    assert found.options == {"workers": "1..8"}


def test_command_may_stand_after_the_dashes_alone() -> None:
    assert run_arguments("--", "python", "a.py").argv == ("python", "a.py")


def test_options_may_follow_the_program() -> None:
    found = run_arguments("hello", "--framework", "dask", "--detach")
    assert (found.argv, found.options, found.detach) == (("hello",), {"framework": "dask"}, True)


def test_value_may_be_joined_by_an_equals_sign() -> None:
    assert run_arguments("--env=A=B", "x.py").options == {"env": ["A=B"]}


def test_repeatable_options_add_up() -> None:
    found = run_arguments("--env", "A=1", "--env", "B=2", "x.py")
    assert found.options["env"] == ["A=1", "B=2"]


def test_all_mistakes_are_reported_at_once_with_the_nearest_word() -> None:
    found = run_arguments("--wrokers", "--frame=dask", "--tier", "a", "--tier", "b", "--name")
    summaries = [problem.summary for problem in found.problems]
    assert summaries == [
        "there is no option --wrokers",
        "there is no option --frame",
        "--name needs a value",
        "--tier is given twice",
    ]
    assert "--workers" in found.problems[0].hint


@pytest.mark.parametrize("name", ["--worker", "--frame"])
def test_value_of_a_misspelt_option_is_no_program(name: str) -> None:
    found = run_arguments(name, "3", "train.py")
    assert found.argv == ("train.py",)
    assert len(found.problems) == 1


@pytest.mark.parametrize("name", ["--detsch", "--nothing-like-it"])
def test_word_after_another_unknown_option_is_the_program(name: str) -> None:
    assert run_arguments(name, "train.py").argv == ("train.py",)


@pytest.mark.parametrize("name", list(OPTIONS))
def test_help_names_every_option(name: str) -> None:
    value = "[=" if OPTIONS[name].switch else " "
    assert help_of("run").count(f"\n  --{name}{value}") == 1
    assert f"[{OPTIONS[name].variable}]" in help_of("run")


def test_each_option_stands_in_one_group_of_the_help() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(OPTIONS)


@pytest.mark.parametrize("columns", ["20", "80", "400"])
def test_help_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    entries = [
        line for line in help_of("run").splitlines() if line.startswith("  ") and "ebb" not in line
    ]
    assert max(map(len, entries)) <= min(max(int(columns), 60), 110)


@pytest.mark.parametrize(("flag", "value"), [("--bridge", "yes"), ("--bridge=no", "no")])
def test_switch_takes_no_word_from_the_program(flag: str, value: str) -> None:
    found = run_arguments(flag, "train.py")
    assert (found.argv, found.options) == (("train.py",), {"bridge": value})


@pytest.mark.parametrize(
    ("name", "known"), [("framework", known_frameworks()), ("platform", known_platforms())]
)
def test_help_names_all_that_is_registered(name: str, known: tuple[str, ...]) -> None:
    said = " ".join(help_of("run").split())
    assert f"({', '.join(known)}; default {OPTIONS[name].default}) [EBB_{name.upper()}]" in said


@pytest.mark.parametrize("args", [["-o", "yaml"], ["-oyaml"], ["--output=yaml"]])
def test_a_plan_may_be_shown_as_yaml(args: list[str]) -> None:
    found = run_arguments("hello", "--plan", *args)
    assert (found.argv, found.output, found.problems) == (("hello",), "yaml", ())


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["-o", "yaml"], "-o is for a plan"),
        (["--plan", "-o"], "-o needs a value"),
        (["--plan", "-o", "wide"], "a plan is not shown as 'wide'"),
    ],
)
def test_another_way_to_show_a_plan_is_refused(args: list[str], said: str) -> None:
    (problem,) = run_arguments("hello", *args).problems
    assert problem.summary == said


@pytest.mark.parametrize(
    ("words", "environ", "waits"),
    [
        (["x.py"], {}, False),
        (["x.py"], {"EBB_WAIT_FOR_RECORD": "1"}, True),
        (["x.py", "--wait-for-record"], {"EBB_WAIT_FOR_RECORD": "no"}, True),
        (["x.py", "--json"], {}, True),
        (["x.py", "--json"], {"EBB_WAIT_FOR_RECORD": "no"}, False),
        (["x.py"], {"EBB_CLUSTER": "outer-1"}, True),  # else it would be ended with that cluster
    ],
)
def test_record_is_waited_for_where_it_was_asked_for_or_is_likely_to_be_read(
    words: list[str], environ: dict[str, str], waits: bool
) -> None:
    assert run_arguments(*words).wait_for_record(environ) is waits


def test_variable_that_says_neither_yes_nor_no_is_refused() -> None:
    with pytest.raises(ConfigurationError) as error:
        run_arguments("x.py").wait_for_record({"EBB_WAIT_FOR_RECORD": "perhaps"})
    assert error.value.problems[0].summary.startswith("variable EBB_WAIT_FOR_RECORD: ")
