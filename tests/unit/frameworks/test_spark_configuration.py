"""What users may have left in Spark's files and variables: what passes and what is refused."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.errors import Problem
from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.frameworks.spark import jvm
from ebbtide.infra.frameworks.spark.config import java, users
from ebbtide.infra.models.resources import Resources
from tests.clusters import TIER, cluster_spec

MALFORMED = ("spark.sql.shuffle.partitions\n", "spark.a \\u00g0\n", b"spark.a \xff\n")


def left(folder: Path, text: str | bytes) -> dict[str, str]:
    """An environment with a user's file of settings."""
    file = folder / "spark-defaults.conf"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return {"SPARK_CONF_DIR": str(folder)}


def refused(environ: dict[str, str]) -> Problem:
    (problem,) = users.refusals(environ)
    return problem


def test_settings_of_performance_pass_and_those_of_the_cluster_do_not(tmp_path: Path) -> None:
    text = """
        # of the old cluster
        spark.master            spark://old:7077
        spark.dynamicAllocation.enabled=true
        spark.executor.memory   64g
        spark.ui.enabled        false
        spark.sql.shuffle.partitions : 7
        spark.hadoop.fs.s3a.endpoint=http://minio:9000
        """
    assert users.settings(left(tmp_path, text)) == {
        "spark.sql.shuffle.partitions": "7",
        "spark.hadoop.fs.s3a.endpoint": "http://minio:9000",
    }


def test_settings_are_found_where_spark_looks_for_them(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    left(tmp_path / "conf", "spark.a 1")
    assert users.settings({"SPARK_HOME": str(tmp_path)}) == {"spark.a": "1"}
    assert users.settings({}) == {}


def test_a_value_is_the_same_in_the_file_of_the_cluster(tmp_path: Path) -> None:
    theirs = {"spark.a": "C:\\x y=z\nsecond", "spark.b": ""}
    again = left(tmp_path, users.as_file(theirs))
    assert users.settings(again) == theirs


def test_a_continued_line_is_one_setting(tmp_path: Path) -> None:
    assert users.settings(left(tmp_path, "spark.a x,\\\n   y\n")) == {"spark.a": "x,y"}


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_file_is_refused_by_its_name(tmp_path: Path, text: str | bytes) -> None:
    problem = refused(left(tmp_path, text))
    assert str(tmp_path / "spark-defaults.conf") in problem.summary


def test_users_win_over_defaults_and_lose_to_what_is_ours() -> None:
    options = "spark.driver.extraJavaOptions"
    found = users.merged(
        {"spark.eventLog.enabled": "true"},
        {"spark.eventLog.enabled": "false", options: "-Dmine=1"},
        {"spark.authenticate": "true", options: "-Dours=1"},
    )
    assert found == {
        "spark.eventLog.enabled": "false",
        "spark.authenticate": "true",
        options: "-Dours=1 -Dmine=1",
    }


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("SPARK_SUBMIT_OPTS", "-Dspark.driver.host=elsewhere", "spark.driver.host"),
        ("JAVA_TOOL_OPTIONS", "-Dspark.authenticate=false", "spark.authenticate"),
        ("PYSPARK_SUBMIT_ARGS", "--conf spark.cores.max=1 pyspark-shell", "spark.cores.max"),
        ("PYSPARK_SUBMIT_ARGS", "--conf=spark.master.x=1 pyspark-shell", "spark.master.x"),
        ("PYSPARK_SUBMIT_ARGS", "--properties-file x pyspark-shell", "--properties-file"),
        ("PYSPARK_SUBMIT_ARGS", "--deploy-mode=cluster pyspark-shell", "--deploy-mode"),
        ("_JAVA_OPTIONS", "-Xmx9g", "largest heap"),
    ],
)
def test_a_variable_that_would_govern_the_cluster_is_refused(
    variable: str, value: str, named: str
) -> None:
    summary = refused({variable: value}).summary
    assert variable in summary
    assert named in summary


@pytest.mark.parametrize(
    "environ",
    [
        {"PYSPARK_SUBMIT_ARGS": "--master local[2] --packages a:b:1 pyspark-shell"},
        {"PYSPARK_SUBMIT_ARGS": "--conf spark.sql.shuffle.partitions=3 pyspark-shell"},
        {"JAVA_TOOL_OPTIONS": "-Xmx9g -Dspark.sql.ansi.enabled=false"},
        {"SPARK_MASTER_HOST": "old", "SPARK_WORKER_CORES": "many", "SPARK_DAEMON_MEMORY": "9t"},
    ],
)
def test_what_governs_nothing_is_not_refused(environ: dict[str, str]) -> None:
    assert users.refusals(environ) == []


def test_daemons_hear_nothing_of_what_is_for_other_daemons_or_for_programs() -> None:
    left = {"SPARK_MASTER_HOST": "old", "SPARK_WORKER_CORES": "many", "JAVA_TOOL_OPTIONS": "-Xx"}
    assert jvm.environment({**left, "SPARK_LOCAL_IP": "127.0.0.1", "A": "1"}) == {
        "SPARK_LOCAL_IP": "127.0.0.1",
        "A": "1",
    }


def a_java(folder: Path, text: str) -> dict[str, str]:
    program = folder / "bin" / "java"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return {"JAVA_HOME": str(folder), "PATH": "/usr/bin:/bin"}


def test_a_java_home_without_java_is_named() -> None:
    problem = java.java_problem({"JAVA_HOME": "/nope", "PATH": "/usr/bin:/bin"})
    assert problem is not None
    assert problem.summary == "JAVA_HOME is /nope, and there is no /nope/bin/java"


def test_options_that_keep_java_from_starting_are_named_with_what_java_says(
    tmp_path: Path,
) -> None:
    says = "echo 'Picked up JAVA_TOOL_OPTIONS: x'; echo 'Unrecognized option: x'; exit 1"
    works = "echo 'openjdk version \"17.0.1\"' >&2"
    environ = a_java(tmp_path, f'if [ "$JAVA_TOOL_OPTIONS" ]; then {says}; fi; {works}')
    assert java.java_problem(environ) is None
    problem = java.java_problem({**environ, "JAVA_TOOL_OPTIONS": "x"})
    assert problem is not None
    assert "JAVA_TOOL_OPTIONS: Unrecognized option: x" in problem.summary


def test_an_old_java_is_told_with_the_variable_that_chose_it(tmp_path: Path) -> None:
    environ = a_java(tmp_path, "echo 'java version \"1.8.0_302\"' >&2")
    problem = java.java_problem(environ)
    assert problem is not None
    assert problem.summary == f"Java is 8 (JAVA_HOME is {tmp_path}); Spark needs 17 or newer"


def test_spark_refuses_all_of_it_before_anything_is_made() -> None:
    room = replace(TIER, resources=Resources(1000, 2048 * 2**20))
    spec = cluster_spec("spark", tier=room, head_tier=room)
    left = {"JAVA_HOME": "/nope", "SPARK_SUBMIT_OPTS": "-Dspark.driver.port=1"}
    found = load_framework("spark").refusals(spec, None, sys.executable, left)
    assert [problem.summary.split()[0] for problem in found] == ["SPARK_SUBMIT_OPTS", "JAVA_HOME"]
