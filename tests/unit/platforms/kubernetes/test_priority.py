"""PriorityClasses of pods: what is written into them, and those that are not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.lifecycle.submission import RunRequest, spec_for
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.kubernetes import problems
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.clusters.blueprint import Blueprint
from ebbtide.infra.platforms.kubernetes.kinds import PRIORITY_CLASS, Kind, Object
from ebbtide.infra.platforms.kubernetes.problems import problems_of
from ebbtide.infra.settings import Settings
from tests.clusters import POOL, TIER, cluster_spec, run_spec

THERE = ("batch", "urgent")


def spec(worker: str, head: str) -> Any:
    pool = replace(POOL, platform="kubernetes", images={"*": "ebb:1"})
    tiers = {"tier": replace(TIER, priority=worker), "head_tier": replace(TIER, priority=head)}
    return replace(
        run_spec("heron", cluster_spec("dask", pool=pool, **tiers)), platform="kubernetes"
    )


def test_pods_have_the_class_of_their_tier_and_none_where_it_names_none() -> None:
    made = Blueprint.of(spec("batch", ""), ClusterId("heron-1"), "team", "")
    kinds = {each["kind"]: each for each in made.objects()}
    assert kinds["Deployment"]["spec"]["template"]["spec"]["priorityClassName"] == "batch"
    assert "priorityClassName" not in kinds["Pod"]["spec"]


def server(monkeypatch: pytest.MonkeyPatch, *denied: str) -> None:
    """Stand for an API server with two classes that denies these verbs."""

    def check(verb: str, kind: Kind) -> None:
        assert kind is PRIORITY_CLASS
        if verb in denied:
            raise ApiError(403, "Forbidden", "forbidden")

    def get(kind: Kind, name: str) -> Object | None:
        check("get", kind)
        return {"metadata": {"name": name}} if name in THERE else None

    def listed(kind: Kind) -> Any:
        check("list", kind)
        return SimpleNamespace(items=[{"metadata": {"name": name}} for name in THERE])

    monkeypatch.setattr(problems, "_server_problems", lambda _: [])
    monkeypatch.setattr(problems, "_program_problems", lambda _: [])
    api = SimpleNamespace(get=get, list=listed)
    monkeypatch.setattr(problems, "connected", lambda _: api)


def refused(monkeypatch: pytest.MonkeyPatch, worker: str, head: str, *denied: str) -> list[Problem]:
    """What is wrong, where these verbs are denied."""
    server(monkeypatch, *denied)
    return problems_of(Settings(home=Path("unused")), spec(worker, head))


def test_classes_that_are_there_are_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(monkeypatch, "batch", "urgent") == []


def test_no_question_is_asked_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(monkeypatch, "", "", "get", "list") == []


def test_unknown_class_is_refused_once_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (problem,) = refused(monkeypatch, "bach", "bach")
    assert problem.summary.startswith("no PriorityClass is named bach ")
    assert problem.hint == "did you mean batch? there are: batch, urgent"


def test_who_may_not_list_them_is_told_how_to_see_them(monkeypatch: pytest.MonkeyPatch) -> None:
    (problem,) = refused(monkeypatch, "bach", "", "list")
    assert problem.hint == "kubectl get priorityclasses lists them"


def test_who_may_not_look_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(monkeypatch, "bach", "", "get") == []


CATALOG = """
pools:
  cpu: {platform: kubernetes, nodes: 0..4, node-cpu: 8, node-memory: 32Gi, image: "ebb:1"}
tiers:
  first: {cpu: 1, memory: 2Gi, priority: urgent}
  second: {cpu: 2, memory: 4Gi, priority: bach}
  third: {cpu: 2, memory: 4Gi, priority: urgnt}
"""


def test_class_of_each_tier_of_a_list_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server(monkeypatch)
    (tmp_path / "ebb.yaml").write_text(CATALOG)
    (tmp_path / "train.py").touch()
    options = {"platform": "kubernetes", "framework": "none", "tier": "first,second,third"}
    request = RunRequest(argv=("train.py",), options=options)
    with pytest.raises(ConfigurationError) as caught:
        spec_for(request, {"EBB_HOME": str(tmp_path / "home")}, tmp_path)
    said = [problem.summary.partition(" (")[0] for problem in caught.value.problems]
    assert said == ["no PriorityClass is named bach", "no PriorityClass is named urgnt"]
