"""What a framework's own tools make of pods is kept, and stays what they would make now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.frameworks.base import PodTemplates, load_framework
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.kubernetes.manifests import templates


@pytest.mark.parametrize("home", ["new", "used", "broken"])
def test_templates_that_are_kept_are_the_same(home: str, tmp_path: Path) -> None:
    dask, kept = load_framework("dask"), templates.kept_in(tmp_path)
    if home != "new":
        kept(dask, ClusterId("another"), "another-image")
    if home == "broken":
        (file,) = (tmp_path / "templates").iterdir()
        file.write_text(file.read_text()[:-1])
    image = 'registry/team/"image":1'
    drawn = kept(dask, ClusterId("copper-heron-1"), image)
    assert drawn == dask.pod_templates(ClusterId("copper-heron-1"), image)
    assert all((drawn.head, drawn.worker, drawn.service))


def test_templates_are_drawn_once_for_each_version_of_what_draws_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    class Counting:
        templates_from = "pytest"

        def pod_templates(self, cluster: ClusterId, image: str) -> PodTemplates:
            drawn.append((cluster, image))
            return PodTemplates(head={"of": cluster})

    framework: Any = Counting()
    kept = templates.kept_in(tmp_path)
    found = [kept(framework, ClusterId(name), "x").head["of"] for name in ("one", "two")]
    assert (found, len(drawn)) == (["one", "two"], 1)
    monkeypatch.setattr(templates, "version", lambda _: "another")
    assert kept(framework, ClusterId("three"), "x").head == {"of": "three"}
    assert len(drawn) == 2
    framework.templates_from = ""
    kept(framework, ClusterId("four"), "x")
    assert drawn[-1] == ("four", "x")


def test_without_a_place_to_keep_them_templates_are_drawn_each_time(
    tmp_path: Path,
) -> None:
    (tmp_path / "templates").write_text("no folder")
    drawn = templates.kept_in(tmp_path)(load_framework("dask"), ClusterId("one-1"), "x")
    assert drawn.head["containers"][0]["image"] == "x"
