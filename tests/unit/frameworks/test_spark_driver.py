"""Remote sessions that a Spark program names: noted, and with ``--bridge`` led to the cluster."""

from __future__ import annotations

import os
from typing import Any

import pytest

from ebbtide.infra.frameworks.plan import TaskModules
from ebbtide.infra.frameworks.spark import driver

NOTES = list[tuple[str, Any]]


class Builder:
    """As much of PySpark's as is looked at."""

    def __init__(self, **options: str):
        self._options = {name.replace("_", "."): value for name, value in options.items()}

    def getOrCreate(self) -> dict[str, str | None]:
        return {**self._options, "variable": os.environ.get("SPARK_REMOTE")}


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> type[Builder]:
    class Followed(Builder):
        """Another one for each test."""

    driver._follow_remotes(Followed)
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    return Followed


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> NOTES:
    found: NOTES = []
    monkeypatch.setattr(driver, "note", lambda kind, **data: found.append((kind, data["what"])))
    monkeypatch.setattr(driver, "say", lambda text: found.append(("said", text)))
    return found


def test_a_session_without_a_remote_is_none_of_our_business(
    builder: type[Builder], told: NOTES
) -> None:
    assert builder(spark_app_name="a").getOrCreate() == {"spark.app.name": "a", "variable": None}
    assert told == []


def test_a_remote_is_noted(
    builder: type[Builder], told: NOTES, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder(spark_remote="local").getOrCreate()
    monkeypatch.setenv("SPARK_REMOTE", "sc://other")
    assert builder().getOrCreate() == {"variable": "sc://other"}
    assert told == [("own-cluster", "remote local"), ("own-cluster", "remote sc://other")]


def test_a_remote_is_led_to_the_cluster(
    builder: type[Builder], told: NOTES, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EBB_BRIDGED", "1")
    monkeypatch.setenv("SPARK_REMOTE", "sc://other")
    assert builder(spark_remote="local").getOrCreate() == {"variable": None}
    assert [kind for kind, _ in told] == ["said"]
    assert "asks for the remote local; --bridge leads it to the cluster" in told[0][1]


class Conf(dict[str, str]):
    """As much of a SparkConf as is used."""

    set = dict.__setitem__


def test_program_on_a_held_cluster_has_its_package_fetched_by_its_executors(told: NOTES) -> None:
    modules = TaskModules(name="0a", argv=("fetch",), folders=("/modules/0a",))
    found = driver.with_modules(driver.with_modules(Conf(), modules), modules)
    ((variable, value),) = modules.variables.items()
    assert found.pop("spark.python.daemon.module").endswith("spark.tasks.daemon")
    assert found == {f"spark.executorEnv.{variable}": value}
    own = {"spark.python.daemon.module": "mine"}
    assert driver.with_modules(Conf(own), modules) == own
    assert [kind for kind, _ in told] == ["said"]
