"""What of a folder is packed, that its bytes follow from it, and what is refused."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.errors import ConfigurationError, ProvisioningError
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.inside.storage.unpacking import PackageError, unpack
from ebbtide.infra.platforms.kubernetes.shipping import package
from ebbtide.infra.platforms.kubernetes.shipping.package import Package, pack


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    made.mkdir()
    return made


def write(root: Path, **files: str) -> None:
    """``a__b`` is ``a/b``."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def packed(root: Path, **more: Any) -> Package:
    return pack(root, root.parent / "packages", **more)


def names(root: Path, **more: Any) -> list[str]:
    with tarfile.open(packed(root, **more).path) as tar:
        return tar.getnames()


def test_same_content_is_the_same_package_whatever_its_times_are(root: Path) -> None:
    write(root, a_py="1", lib__b_py="2")
    first = packed(root)
    os.utime(root / "a.py", (1, 1))
    (root / "lib" / "b.py").chmod(0o600)
    assert packed(root).digest == first.digest


def test_other_content_or_another_name_is_another_package(root: Path) -> None:
    write(root, a_py="1")
    first = packed(root).digest
    write(root, a_py="2")
    second = packed(root).digest
    (root / "a.py").rename(root / "b.py")
    assert len({first, second, packed(root).digest}) == 3


def test_what_git_ignores_is_left_out(root: Path) -> None:
    write(root, a_py="1", data__x="big", sub__y="1", sub__z="1")
    (root / ".gitignore").write_text("data/\n*.log\n")
    (root / "sub" / ".gitignore").write_text("/y\n")
    (root / "out.log").write_text("")
    assert names(root) == [".gitignore", "a.py", "sub/.gitignore", "sub/z"]


def test_ebbignore_is_asked_before_gitignore(root: Path) -> None:
    write(root, a_py="1", data__x="wanted", notes="not")
    (root / ".gitignore").write_text("data/\n")
    (root / ".ebbignore").write_text("!data/\nnotes\n")
    assert names(root) == [".ebbignore", ".gitignore", "a.py", "data/x"]


def test_rules_of_the_repository_around_the_folder_hold(root: Path) -> None:
    write(root, a_py="1", tmp__x="1")
    (root.parent / ".git").mkdir()
    (root.parent / ".gitignore").write_text("/project/tmp\n")
    assert names(root) == ["a.py"]


def test_folder_that_its_repository_ignores_is_packed_all_the_same(root: Path) -> None:
    write(root, a_py="1")
    (root.parent / ".git").mkdir()
    (root.parent / ".gitignore").write_text("project\n")
    assert names(root) == ["a.py"]


def test_what_is_never_needed_is_left_out(root: Path) -> None:
    write(root, a_py="1", __pycache____a="x", node_modules__x="1", env__pyvenv="1", home__x="1")
    (root / "env" / "pyvenv.cfg").write_text("")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("")
    assert names(root, never=[root / "home"]) == ["a.py"]


def test_link_within_the_folder_stays_a_link_and_others_are_followed(root: Path) -> None:
    write(root, lib__a_py="1")
    outside = root.parent / "shared"
    outside.mkdir()
    (outside / "b.py").write_text("2")
    (root / "link").symlink_to("lib")
    (root / "shared").symlink_to(outside)
    (root / "broken").symlink_to("nowhere")
    (root / "lib" / "loop").symlink_to(root)
    with tarfile.open(packed(root).path) as tar:
        found = {member.name: member.linkname for member in tar}
    assert found == {"lib/a.py": "", "link": "lib", "shared/b.py": ""}


def test_links_that_lead_to_each_other_are_followed_once(root: Path) -> None:
    write(root, a_py="1")
    for one, other in (("x", "y"), ("y", "x")):
        folder = root.parent / one
        folder.mkdir()
        (folder / "f").write_text("")
        (folder / "link").symlink_to(root.parent / other)
    (root / "x").symlink_to(root.parent / "x")
    (root / "itself").symlink_to("itself")
    assert names(root) == ["a.py", "x/f", "x/link/f"]


def test_folder_that_cannot_be_read_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ConfigurationError, match="cannot be sent: Permission denied"):
        packed(root)


def test_file_that_cannot_be_read_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, a_py="1")
    opened = Path.open

    def refuse(path: Path, *more: Any, **named: Any) -> Any:
        if path == root / "a.py":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *more, **named)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigurationError) as caught:
        packed(root)
    assert caught.value.reason is Reason.PROGRAM_INVALID
    assert f"Permission denied: {root / 'a.py'}" in str(caught.value)
    assert list((root.parent / "packages").iterdir()) == []


def test_file_that_becomes_shorter_is_looked_at_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, a_py="12345", b_py="1")
    sizes, real = iter([9]), os.fstat

    def longer(descriptor: int) -> Any:
        found = real(descriptor)
        promised = next(sizes, found.st_size)
        return os.stat_result((*found[:6], promised, *found[7:]))

    monkeypatch.setattr(os, "fstat", longer)
    assert names(root) == ["a.py", "b.py"]


def full(root: Path) -> Path:
    """The folder for packages, on which no byte more can be written."""
    into = root.parent / "packages"
    into.mkdir()
    (into / f"package.{os.getpid()}").symlink_to("/dev/full")
    return into


def test_full_disk_is_no_fault_of_the_program(root: Path) -> None:
    write(root, a_py="1", b_bin="x" * 100_000)
    into = full(root)
    with pytest.raises(ProvisioningError) as caught:
        packed(root, setting="TMPDIR")
    error = caught.value
    assert (error.reason, error.retryable) == (Reason.DISK_FULL, False)
    assert error.detail.startswith(f"{into}: No space left on device; ")
    assert error.detail.endswith(" are free")
    assert error.hint == "free some space there, or set TMPDIR to a folder on another disk"
    assert list(into.iterdir()) == []


def test_folder_for_packages_that_cannot_be_made_is_none_either(root: Path) -> None:
    write(root, a_py="1")
    (root.parent / "packages").write_text("in the way")
    with pytest.raises(ProvisioningError) as caught:
        packed(root)
    assert caught.value.reason is Reason.LAUNCH_FAILED
    assert "its code cannot be kept in" in caught.value.detail


def test_folder_with_too_many_files_is_refused_before_all_are_counted(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, a_py="1", b_py="1", c_py="1")
    monkeypatch.setattr(package, "MAX_FILES", 2)
    with pytest.raises(ConfigurationError, match="more than 2 files"):
        packed(root)


def test_program_stays_executable(root: Path, tmp_path: Path) -> None:
    write(root, go="#!/bin/sh")
    (root / "go").chmod(0o755)
    target = tmp_path / "there"
    with packed(root).path.open("rb") as file:
        unpack(file, target)
    assert os.access(target / "go", os.X_OK)


def test_too_large_a_folder_is_refused_with_what_is_large_and_what_to_do(root: Path) -> None:
    write(root, a_py="1", data__x="x" * 3000, data__y="x" * 3000, model="x" * 4000)
    with pytest.raises(ConfigurationError) as caught:
        packed(root, limit_bytes=5000)
    (problem,) = caught.value.problems
    assert "data/ 5.86 KiB, model 3.91 KiB" in problem.summary
    assert ".ebbignore" in problem.hint
    assert "fsspec" in problem.hint
    assert "--code-limit" in problem.hint


def test_program_that_an_ignore_file_leaves_out_is_refused(root: Path) -> None:
    write(root, a_py="1")
    (root / ".gitignore").write_text("*.py\n")
    with pytest.raises(ConfigurationError) as caught:
        packed(root, needed=["a.py"])
    assert "!a.py" in caught.value.hint


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x"])
def test_package_that_would_write_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bad.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with path.open("rb") as file, pytest.raises(PackageError, match="outside"):
        unpack(file, tmp_path / "there")


def test_link_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo("a/link")
        link.type, link.linkname = tarfile.SYMTYPE, "../../etc"
        tar.addfile(link)
    with path.open("rb") as file, pytest.raises(PackageError, match="outside"):
        unpack(file, tmp_path / "there")
