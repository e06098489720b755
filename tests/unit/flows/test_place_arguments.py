"""Which Kubernetes a command means."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebbtide.flows.cli.commands import help_of
from ebbtide.flows.cli.place import use_place
from ebbtide.infra.files.place import KubernetesPlace, remember_place
from ebbtide.infra.request.catalog import settings_here
from ebbtide.infra.settings import Settings, load_settings
from tests.run_lines import run_arguments

FILE = "kubernetes: {context: filed, namespace: team}"


def used(folder: Path, *args: str, remembered: bool = False, **environ: str) -> list[str | None]:
    found = {"EBB_HOME": str(folder), "HOME": str(folder), **environ}
    use_place(run_arguments(*args).place, found, folder, remembered=remembered)
    return [found.get("EBB_CONTEXT"), found.get("EBB_NAMESPACE")]


def test_nothing_is_set_where_nobody_says_anything(tmp_path: Path) -> None:
    assert used(tmp_path) == [None, None]


@pytest.mark.parametrize("args", [["--context", "a", "--namespace=b"], ["x", "--context=a"]])
def test_flags_win_over_the_environment(tmp_path: Path, args: list[str]) -> None:
    assert used(tmp_path, *args, EBB_CONTEXT="c", EBB_NAMESPACE="b") == ["a", "b"]


def test_the_programs_own_arguments_are_not_ours(tmp_path: Path) -> None:
    assert used(tmp_path, "train.py", "--", "--context", "a") == [None, None]


def test_a_flag_without_a_value_is_somebody_elses_to_report(tmp_path: Path) -> None:
    assert used(tmp_path, "--context") == [None, None]


def test_the_file_says_it_where_nobody_else_does(tmp_path: Path) -> None:
    (tmp_path / "ebb.yaml").write_text(FILE)
    assert used(tmp_path) == ["filed", "team"]


def test_the_files_namespace_is_of_its_own_context(tmp_path: Path) -> None:
    (tmp_path / "ebb.yaml").write_text(FILE)
    assert used(tmp_path, "--context", "other") == ["other", None]


def test_a_namespace_of_ones_own_leaves_the_files_context(tmp_path: Path) -> None:
    (tmp_path / "ebb.yaml").write_text(FILE)
    assert used(tmp_path, "--namespace", "mine") == ["filed", "mine"]


@pytest.mark.parametrize(("remembered", "found"), [(True, ["last", "ns"]), (False, [None, None])])
def test_what_was_used_last_counts_for_those_who_look(
    tmp_path: Path, remembered: bool, found: list[str | None]
) -> None:
    place = KubernetesPlace(context="last", namespace="ns")
    remember_place(Settings(home=tmp_path), place)
    assert used(tmp_path, remembered=remembered) == found


def test_a_run_takes_both_flags() -> None:
    found = run_arguments("--context", "a", "--namespace=b", "train.py")
    assert (found.argv, found.options, found.problems) == (("train.py",), {}, ())


def test_a_run_says_that_a_flag_needs_its_value() -> None:
    (problem,) = run_arguments("train.py", "--context").problems
    assert problem.summary == "--context needs a value"


def test_the_help_lists_them_with_their_variables() -> None:
    assert "[EBB_CONTEXT]" in help_of("run")
    assert "[EBB_NAMESPACE]" in help_of("run")


def test_what_the_file_names_is_a_setting_of_python_too(tmp_path: Path) -> None:
    (tmp_path / "ebb.yaml").write_text(FILE)
    environ = {"EBB_HOME": str(tmp_path), "HOME": str(tmp_path)}
    found = settings_here(environ, tmp_path)
    assert (found.context, found.namespace) == ("filed", "team")


def test_where_a_run_goes_is_a_setting_of_python_too(tmp_path: Path) -> None:
    environ = {"EBB_HOME": str(tmp_path), "HOME": str(tmp_path)}
    assert settings_here(environ, tmp_path).platform == "local"
    (tmp_path / "ebb.yaml").write_text("run: {platform: kubernetes}")
    assert settings_here(environ, tmp_path).platform == "kubernetes"
    assert settings_here(environ, tmp_path, {"platform": "local"}).platform == "local"


def test_processes_of_ours_have_the_same_settings(tmp_path: Path) -> None:
    found = Settings(home=tmp_path, context="a", namespace="b", kubeconfig="c")
    assert load_settings(found.variables) == found
