"""Where the value of each setting comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.models.resources import Resources
from ebbtide.infra.request.catalog import Machine, load_catalog
from ebbtide.infra.request.options import OPTIONS
from ebbtide.infra.request.origins import origins

FILE = """
tiers: {a: {cpu: 1, memory: 1Gi}}
kubernetes: {context: filed}
run: {workers: 2, time-limit: 1h, tag: [b], env: {KEY: hunter2}}
"""


@pytest.fixture
def told(tmp_path: Path) -> Any:
    (tmp_path / "ebb.yaml").write_text(FILE)

    def of(cli: dict[str, Any] | None = None, **environ: str) -> dict[str, tuple[str, str]]:
        there = {"HOME": str(tmp_path), **environ}
        found = load_catalog(tmp_path / "ebb.yaml", Machine(Resources(4000, 2**33)))
        listed = origins(cli or {}, there, tmp_path, found)
        file = str(tmp_path / "ebb.yaml")
        return {each.name: (each.value, each.source.replace(file, "FILE")) for each in listed}

    return of


def test_the_strongest_source_is_named(told: Any) -> None:
    found = told({"workers": "4"}, EBB_WORKERS="3", EBB_TIME_LIMIT="2h", EBB_LEASE="")
    assert found["workers"] == ("4", "flag --workers")
    assert found["time-limit"] == ("2h", "variable EBB_TIME_LIMIT")
    assert told()["time-limit"] == ("1h", "FILE")
    assert found["lease"] == (OPTIONS["lease"].default, "default")


def test_what_is_added_up_names_every_source(told: Any) -> None:
    assert told({"tag": ["a"]}, EBB_TAG="c")["tag"] == (
        "a c b",
        "flag --tag, variable EBB_TAG, FILE",
    )


def test_values_of_variables_for_programs_are_not_shown(told: Any) -> None:
    assert told({"env": ["A=sesame"]})["env"] == ("A=… KEY=…", "flag --env, FILE")
    assert told(EBB_ENV="A='open se=same' B=1")["env"][0] == "A=… B=… KEY=…"


def test_the_kubernetes_that_is_meant_is_among_them(told: Any) -> None:
    assert told()["EBB_CONTEXT"] == ("filed", "FILE")
    assert told(EBB_CONTEXT="b")["EBB_CONTEXT"] == ("b", "variable EBB_CONTEXT")
    assert told({"context": "c"}, EBB_CONTEXT="b")["EBB_CONTEXT"] == ("c", "flag --context")


def test_the_catalog_says_what_the_file_has_and_what_it_has_not(told: Any) -> None:
    found = told()
    assert found["tiers.a"] == ("1 CPU, 1 GiB · pool local", "FILE")
    assert found["pools.local"][1] == "this machine"
    assert found["keep"] == ("everything", "default")
