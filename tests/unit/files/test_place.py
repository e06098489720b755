"""Which Kubernetes was used last is found again."""

from __future__ import annotations

from pathlib import Path

from ebbtide.infra.files.place import (
    KubernetesPlace,
    place_in_use,
    remember_place,
    remembered_place,
)
from ebbtide.infra.settings import Settings, load_settings

PLACE = KubernetesPlace(context="lab", namespace="ebb", kubeconfig="/etc/kubeconfig")


def test_what_was_used_last_is_remembered(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    remember_place(settings, PLACE)
    assert remembered_place(settings) == PLACE


def test_the_file_is_private(tmp_path: Path) -> None:
    remember_place(Settings(home=tmp_path), PLACE)
    assert (tmp_path / "kubernetes.json").stat().st_mode & 0o077 == 0


def test_nothing_is_remembered_where_none_was_used(tmp_path: Path) -> None:
    assert place_in_use(Settings(home=tmp_path / "home")) is None


def test_a_file_that_was_spoilt_is_none(tmp_path: Path) -> None:
    (tmp_path / "kubernetes.json").write_text('{"other": 1}')
    assert remembered_place(Settings(home=tmp_path)) is None


def test_what_the_environment_says_wins(tmp_path: Path) -> None:
    environ = {"EBB_HOME": str(tmp_path), "EBB_CONTEXT": "prod", "KUBECONFIG": "k"}
    settings = load_settings(environ)
    remember_place(settings, PLACE)
    assert place_in_use(settings) == KubernetesPlace(context="prod", kubeconfig="k")


def test_where_runs_go_there_it_is_in_use_before_the_first(tmp_path: Path) -> None:
    settings = load_settings({"EBB_HOME": str(tmp_path), "EBB_PLATFORM": "kubernetes"})
    assert place_in_use(settings) == KubernetesPlace()
    remember_place(settings, PLACE)
    assert place_in_use(settings) == PLACE


def test_an_environment_without_a_word_of_it_is_filled_in() -> None:
    environ: dict[str, str] = {}
    PLACE.fill_in(environ)
    assert environ == {
        "EBB_CONTEXT": "lab",
        "EBB_NAMESPACE": "ebb",
        "KUBECONFIG": "/etc/kubeconfig",
    }


def test_a_place_that_was_named_is_left_alone() -> None:
    environ = {"EBB_CONTEXT": "prod"}
    PLACE.fill_in(environ)
    assert environ == {"EBB_CONTEXT": "prod"}
