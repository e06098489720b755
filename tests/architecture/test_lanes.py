"""`make test` runs every test once: what one of its lanes takes the other leaves, nothing else."""

from __future__ import annotations

from tests.architecture.sources import ROOT
from tests.lanes import CLUSTERS, LANES


def test_the_first_lane_takes_folders_of_tests_that_are_there() -> None:
    assert LANES[0] == CLUSTERS
    folders = {ROOT / folder for folder in CLUSTERS}
    assert folders < {folder for folder in (ROOT / "tests").iterdir() if folder.is_dir()}


def test_the_other_lane_takes_all_tests_but_those() -> None:
    everything, *left = LANES[1]
    assert everything == "tests"
    assert left == [f"--ignore={folder}" for folder in CLUSTERS]
