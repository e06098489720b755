"""Which of the user's configuration of Dask is refused, and which is the run's."""

from __future__ import annotations

from pathlib import Path

import dask.config
import distributed
import pytest

from ebbtide.infra.frameworks.dask.configuration import DRIVER, OURS, refused, variable

PYTHON = "/opt/python/bin/python"


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """Nobody's configuration."""
    return {"HOME": str(tmp_path), "DASK_ROOT_CONFIG": str(tmp_path / "etc")}


def summaries(environ: dict[str, str], **added: str) -> list[str]:
    return [
        problem.summary for problem in refused({**environ, **added}, added, PYTHON, environ["HOME"])
    ]


def test_no_configuration_is_no_problem(home: dict[str, str]) -> None:
    assert summaries(home) == []


@pytest.mark.parametrize("text", ["a: [", "- a\n- b\n", "\x01"])
def test_malformed_file_in_the_home_is_named(
    home: dict[str, str], tmp_path: Path, text: str
) -> None:
    file = tmp_path / ".config" / "dask" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    [summary] = summaries(home)
    assert f"{file} is malformed" in summary
    assert "\n" not in summary


def test_malformed_file_that_a_variable_names_is_named(
    home: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "dask.yaml"
    file.write_text("distributed: {")
    assert str(file) in summaries(home, DASK_CONFIG=str(file))[0]
    assert str(file) in summaries(home, DASK_CONFIG="dask.yaml")[0]


def test_good_and_empty_files_are_taken(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "empty.yaml").write_text("")
    (tmp_path / "etc" / "some.yml").write_text("array:\n  chunk-size: 1MiB\n")
    (tmp_path / "etc" / "notes.txt").write_text("a: [")
    assert summaries(home, DASK_CONFIG=str(tmp_path / "nowhere")) == []


def test_variable_that_replaces_a_section_is_refused(home: dict[str, str]) -> None:
    assert summaries({**home, "DASK_DISTRIBUTED__COMM__TLS": "1"})
    assert not summaries({**home, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "9s"})


def test_env_that_would_have_no_effect_is_refused_and_a_leftover_is_not(
    home: dict[str, str],
) -> None:
    name = "DASK_DISTRIBUTED__SCHEDULER__IDLE_TIMEOUT"
    assert name in summaries(home, **{name: "1s"})[0]
    assert summaries({**home, name: "1s"}) == []


def test_every_key_of_ours_is_one_of_dask() -> None:
    assert distributed.__version__  # its keys come with it
    for key in OURS:
        dask.config.get(key)


def test_variables_say_what_is_ours() -> None:
    found = dask.config.collect_env(DRIVER)
    for key in OURS:
        if variable(key) in DRIVER:
            assert dask.config.get(key, config=found) == OURS[key]
