"""Files of ours: written whole or not at all, and one process at a time where it must be."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ebbtide.infra.files import private
from ebbtide.infra.files.private import locked, write_whole


def test_it_is_for_this_user_only_whatever_an_earlier_draft_was(tmp_path: Path) -> None:
    (tmp_path / "facts.json.draft").write_text("half")
    (tmp_path / "facts.json.draft").chmod(0o644)
    write_whole(tmp_path / "facts.json", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["facts.json"]
    assert stat.S_IMODE((tmp_path / "facts.json").stat().st_mode) == 0o600


def test_what_was_there_stays_when_the_new_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        path.write_text(text[:1])
        raise OSError("full")

    write_whole(tmp_path / "facts.json", "old")
    monkeypatch.setattr(private, "write_private", full)
    with pytest.raises(OSError, match="full"):
        write_whole(tmp_path / "facts.json", "new")
    assert (tmp_path / "facts.json").read_text() == "old"


def test_second_is_told_at_once_that_another_is_inside(tmp_path: Path) -> None:
    with locked(tmp_path / "lock") as first, locked(tmp_path / "lock", wait=False) as second:
        assert (first, second) == (True, False)
    with locked(tmp_path / "lock", wait=False) as third:
        assert third
