"""Files of ours: written whole or not at all, and one process at a time where it must be."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from ebbtide.infra.errors import ConfigurationError, EbbError, ProvisioningError
from ebbtide.infra.files import private
from ebbtide.infra.files.private import locked, private_folder, write_whole
from ebbtide.infra.models.phases import Reason


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


def refused(home: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> EbbError:
    """What is said when the system refuses a folder below an ``EBB_HOME``, by its error number."""

    def refuse(path: Path, **_: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    home.mkdir(mode=0o700)
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(EbbError) as caught:
        private_folder(home, "runs")
    return caught.value


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "free some space there, or set EBB_HOME to a folder on another disk"),
        (errno.EDQUOT, "free some of your disk quota there, or set EBB_HOME to a folder elsewhere"),
    ],
)
def test_full_disk_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, hint: str
) -> None:
    error = refused(tmp_path / "home", monkeypatch, number)
    assert isinstance(error, ProvisioningError)
    assert (error.reason, error.hint) == (Reason.DISK_FULL, hint)
    assert error.detail.startswith(f"{tmp_path / 'home' / 'runs'}: {os.strerror(number)}; ")


def test_folder_that_may_not_be_made_is_the_users_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = refused(tmp_path / "home", monkeypatch, errno.EACCES)
    assert isinstance(error, ConfigurationError)
    assert error.reason is Reason.NO_PERMISSION


def test_disk_without_room_for_a_further_file_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs(tmp_path)
    none_left = os.statvfs_result((*real[:5], 1000, 0, 0, *real[8:]))
    monkeypatch.setattr(os, "statvfs", lambda _: none_left)
    error = refused(tmp_path / "home", monkeypatch, errno.ENOSPC)
    assert error.detail.endswith("No space left on device; no further file can be made there")
