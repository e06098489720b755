"""Code that is not in a folder here: a Git revision, which is packed, or an archive for pods."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest

from ebbtide.infra.errors import ConfigurationError, ProvisioningError
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import CodeSource, JobSpec, code_source
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.clusters.packaging import packed_program
from ebbtide.infra.platforms.kubernetes.inside.told import to_text
from ebbtide.infra.platforms.kubernetes.shipping.cloning import clone
from ebbtide.infra.platforms.kubernetes.shipping.program import translate
from ebbtide.infra.settings import Settings
from tests.unit.platforms.kubernetes.here import Pod

REFUSED = 126


@pytest.fixture
def repository(tmp_path: Path) -> str:
    """With a tag ``v1`` and a commit behind it; its code is in ``src``."""
    made = tmp_path / "repository"
    (made / "src").mkdir(parents=True)
    git = ["git", "-C", str(made), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    for text, more in (("one", ["tag", "v1"]), ("two", ["status", "-s"])):
        (made / "src" / "train.py").write_text(f"print('{text}')")
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "-m", text], check=True)
        subprocess.run([*git, *more], check=True)
    return f"git+file://{made}"


@pytest.mark.parametrize(
    ("written", "source"),
    [
        ("git+https://h/r", CodeSource(url="https://h/r", is_git=True)),
        (
            "git+ssh://git@h/r.git@main#subdirectory=a/b",
            CodeSource(url="ssh://git@h/r.git", is_git=True, revision="main", subdirectory="a/b"),
        ),
        (
            "s3://b/c.zip#subdirectory=c&sha256=ab",
            CodeSource(url="s3://b/c.zip", is_git=False, subdirectory="c", sha256="ab"),
        ),
    ],
)
def test_places_are_spelled_as_pip_does(written: str, source: CodeSource) -> None:
    assert code_source(written) == source


@pytest.mark.parametrize(("revision", "text"), [("", "two"), ("@v1", "one")])
def test_revision_is_packed_as_a_folder_is(
    repository: str, tmp_path: Path, revision: str, text: str
) -> None:
    code = f"{repository}{revision}#subdirectory=src"
    job = JobSpec(argv=("python", "train.py"), workdir="/", code=code)
    place = Settings(home=tmp_path / "home", prefect_server=False)
    package = packed_program(place, RunName("heron"), "main", job)
    assert package is not None
    assert (package.path.parent / "commit").read_text()
    with tarfile.open(package.path) as tar:
        found = tar.extractfile("train.py")
        assert found is not None
        assert found.read() == f"print('{text}')".encode()
        assert tar.getnames() == ["train.py"]


@pytest.mark.parametrize(
    ("more", "why"), [("@nowhere", "nowhere"), ("#subdirectory=lib", "no folder lib")]
)
def test_what_git_does_not_give_is_said_in_its_words(
    repository: str, tmp_path: Path, more: str, why: str
) -> None:
    source = code_source(f"{repository}{more}")
    assert source is not None
    with pytest.raises(ConfigurationError, match=why):
        clone(source, tmp_path / "clone")


def test_git_that_has_no_room_is_no_fault_of_the_revision(
    repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text("#!/bin/sh\necho 'fatal: write error: No space left on device' >&2\nexit 128\n")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{git.parent}:{os.environ['PATH']}")
    source = code_source(repository)
    assert source is not None
    with pytest.raises(ProvisioningError) as caught:
        clone(source, tmp_path / "clone")
    assert caught.value.reason is Reason.DISK_FULL
    assert caught.value.detail.startswith(f"{tmp_path / 'clone'}: No space left on device; ")
    assert "TMPDIR" in caught.value.hint


def test_temporary_files_that_have_no_room_are_no_fault_of_the_revision_either(
    repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **_2: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    job = JobSpec(argv=("python", "train.py"), workdir="/", code=repository)
    place = Settings(home=tmp_path / "home", prefect_server=False)
    with pytest.raises(ProvisioningError) as caught:
        packed_program(place, RunName("heron"), "main", job)
    assert caught.value.reason is Reason.DISK_FULL
    assert "TMPDIR" in caught.value.hint


def test_program_from_elsewhere_is_named_as_in_its_code() -> None:
    job = JobSpec(argv=(sys.executable, "src/train.py", "data.csv"), workdir="/x", code="s3://b/c")
    found = translate(job, Path("/x"))
    assert found.job.argv == ("/opt/ebb/venv/bin/python", "src/train.py", "data.csv")
    assert found.job.workdir == "/run/ebb/code"
    assert found.import_path == ("/run/ebb/code", "/run/ebb/code/src")
    assert translate(found.job, Path("/y")).job == found.job


def archive(folder: Path, kind: str) -> Path:
    (folder / "train.py").write_text("print('fetched')")
    made = folder / f"code.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(made, "w") as zipped:
            zipped.write(folder / "train.py", "top/train.py")
    else:
        with tarfile.open(made, "w:gz") as tar:
            tar.add(folder / "train.py", "top/train.py")
    return made


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_archive_is_fetched_once_in_a_pod(pod: Pod, tmp_path: Path, kind: str) -> None:
    made = archive(tmp_path, kind)
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    code = pod.code(url=f"file://{made}#subdirectory=top&sha256={digest}")
    wrapper = pod.program(sys.executable, "train.py", code=code)
    assert wrapper.communicate(timeout=20)[0] == b"fetched\n"
    made.unlink()  # whoever starts again in the same pod has it
    member = pod.start("member", to_text(code), sys.executable, "train.py")
    assert member.communicate(timeout=20)[0] == b"fetched\n"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"file://{{}}#sha256={'a' * 64}", "another archive"),
        ("file://{}.gone", "No such file"),
        ("nowhere://bucket/code.zip", "Protocol not known: nowhere"),
    ],
)
def test_program_does_not_start_without_the_code_that_was_meant(
    pod: Pod, tmp_path: Path, url: str, why: str
) -> None:
    code = pod.code(url=url.format(archive(tmp_path, "zip")))
    wrapper = pod.program(sys.executable, "-c", "print('started')", code=code)
    out, said = wrapper.communicate(timeout=20)
    assert why in said.decode()
    assert (out, wrapper.returncode) == (b"", REFUSED)
