"""Whether a cluster has an owner, judged while others make and release theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebbtide.infra.files.private import private_folder
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.base import HeldResource
from ebbtide.infra.platforms.local.platform import LocalPlatform
from ebbtide.infra.records import runs
from ebbtide.infra.settings import Settings
from tests.clusters import cluster_spec, run_spec

CLUSTER = ClusterId("heron-1")


@pytest.fixture
def platform(tmp_path: Path) -> LocalPlatform:
    platform = LocalPlatform(Settings(home=tmp_path / "home"))
    runs.begin(platform.ledger, run_spec("heron", cluster_spec("none"), tmp_path / "p.py"))
    return platform


def declare(platform: LocalPlatform) -> None:
    """What a platform does first: the row, then the folder."""
    run = platform.ledger.runs()[0].name
    platform.ledger.add_cluster(CLUSTER, run, attempt=1, pool="test", lease_s=20.0)
    private_folder(platform.settings.home, "clusters", CLUSTER)


def release(platform: LocalPlatform) -> None:
    (platform.settings.clusters / CLUSTER).rmdir()
    platform.ledger.mark_released(CLUSTER, by="supervisor", reason=None)


def test_cluster_that_is_made_during_the_look_is_not_left_behind(
    platform: LocalPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = platform.held

    def meanwhile(cluster: ClusterId | None = None) -> list[HeldResource]:
        if cluster is None:
            declare(platform)
        return look(cluster)

    monkeypatch.setattr(platform, "held", meanwhile)
    assert platform.orphans() == ()


def test_cluster_that_is_released_during_the_look_was_not_left_behind(
    platform: LocalPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(platform)
    living = platform.ledger.living_clusters

    def meanwhile() -> object:
        release(platform)
        return living()

    monkeypatch.setattr(platform.ledger, "living_clusters", meanwhile)
    assert platform.orphans() == ()


def test_cluster_that_its_owner_releases_just_now_is_not_reaped(
    platform: LocalPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(platform)

    def meanwhile(_: ClusterId) -> bool:
        release(platform)
        return False

    monkeypatch.setattr(platform, "supervised", meanwhile)
    assert not platform.reap(CLUSTER)


def test_folder_that_nobody_has_written_down_is_left_behind(platform: LocalPlatform) -> None:
    private_folder(platform.settings.home, "clusters", CLUSTER)
    assert platform.orphans() == (CLUSTER,)
