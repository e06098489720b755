"""What a program's hook has noted, whatever else stands in its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebbtide.infra.frameworks import bootstrap
from ebbtide.infra.platforms.local.supervisor.driver.notes import read_notes
from ebbtide.infra.policy.cluster_use import Notes


def test_what_was_noted_is_read_and_the_last_of_a_kind_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(bootstrap.NOTES, str(tmp_path / "notes"))
    bootstrap.note("own-cluster", what="LocalCluster")
    bootstrap.note("own-cluster", what="local[*]")
    bootstrap.note("unfinished", count=3, wait="ray.get(refs)")
    found = read_notes(tmp_path / "notes")
    assert found == Notes(own_cluster="local[*]", unfinished=3, wait="ray.get(refs)")


def test_no_file_says_nothing(tmp_path: Path) -> None:
    assert read_notes(tmp_path / "notes") == Notes()


@pytest.mark.parametrize(
    "text",
    ["\xff\n{", "[1]\n3\n", '{"kind": "own-cluster"}', '{"kind": "unfinished", "count": "many"}'],
)
def test_what_is_no_note_is_left_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "notes").write_bytes(text.encode("latin-1"))
    assert read_notes(tmp_path / "notes") == Notes()


def test_a_file_that_was_filled_up_is_not_read_to_its_end(tmp_path: Path) -> None:
    filler = "x" * 2**17 + "\n"
    (tmp_path / "notes").write_text(filler + '{"kind": "unfinished", "count": 3}')
    assert read_notes(tmp_path / "notes") == Notes()
