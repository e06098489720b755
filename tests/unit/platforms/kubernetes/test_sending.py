"""Code on its way to pods and files on their way back, through the programs that run there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ebbtide.infra.errors import ProvisioningError
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.inside.told import to_text
from ebbtide.infra.platforms.kubernetes.shipping.collecting import fetch_folder
from ebbtide.infra.platforms.kubernetes.shipping.package import Package, pack
from ebbtide.infra.platforms.kubernetes.shipping.sending import send
from tests.unit.platforms.kubernetes.here import Pod


@pytest.fixture
def package(tmp_path: Path) -> Package:
    root = tmp_path / "project"
    (root / "lib").mkdir(parents=True)
    (root / "lib" / "mine.py").write_text("VALUE = 42\n")
    (root / "train.py").write_text("from lib.mine import VALUE; print(VALUE)\n")
    return pack(root, tmp_path / "made")


def store(pod: Pod) -> str:
    """The URL of a store that serves."""
    places = ("--packages", str(layout.PACKAGES), "--secrets", str(layout.DOOR))
    process = pod.start("files", "--bind", "127.0.0.1", "--port", "0", *places)
    assert process.stdout is not None
    return f"http://{process.stdout.readline().split()[-1].decode()}"


def test_program_and_worker_find_the_code_that_was_sent(
    pod: Pod, package: Package, tmp_path: Path
) -> None:
    url = store(pod)
    there = tmp_path / "worker"
    code = pod.code(digest=package.digest, store=url, folder=str(there), workdir=str(there))
    worker = pod.start("member", to_text(code), "python3", "train.py")
    assert send(pod.run, "head", package)
    assert worker.communicate(timeout=20)[0] == b"42\n"


def test_what_has_come_is_not_sent_again(pod: Pod, package: Package) -> None:
    assert send(pod.run, "head", package)
    assert not send(pod.run, "head", package)


def test_head_has_the_code_without_asking_for_it(pod: Pod, package: Package) -> None:
    send(pod.run, "head", package)
    assert (pod.folder / "code" / "lib" / "mine.py").read_text() == "VALUE = 42\n"


def test_package_that_is_not_what_it_should_be_is_refused(pod: Pod, package: Package) -> None:
    package.path.write_bytes(b"x" * package.bytes_)
    with pytest.raises(ProvisioningError, match="another package"):
        send(pod.run, "head", package)
    assert list((pod.folder / "packages").iterdir()) == []


def test_store_that_does_not_answer_is_given_up_in_time(pod: Pod, package: Package) -> None:
    (pod.folder / "packages").rmdir()
    (pod.folder / "packages").write_text("")
    with pytest.raises((ApiError, ProvisioningError)):
        send(pod.run, "head", package, patience_s=0)


def test_worker_of_another_cluster_gets_no_code(pod: Pod, package: Package, tmp_path: Path) -> None:
    url = store(pod)
    send(pod.run, "head", package)
    secrets = tmp_path / "theirs"
    secrets.mkdir()
    (secrets / "dashboard.secret").write_text("guessed")
    code = pod.code(digest=package.digest, store=url, secrets=str(secrets))
    worker = pod.start("member", to_text(code), "true")
    assert b"401" in worker.communicate(timeout=20)[1]
    assert worker.returncode == 1


def test_worker_that_is_told_to_leave_while_it_waits_ends_well(pod: Pod) -> None:
    code = pod.code(digest="0" * 64, store=store(pod), wait_s=60)
    worker = pod.start("member", to_text(code), "true")
    with pytest.raises(Exception, match="timed out"):
        worker.wait(1)
    worker.terminate()
    assert worker.wait(10) == 0


def test_what_the_program_wrote_comes_back(pod: Pod, tmp_path: Path) -> None:
    output = pod.folder / "output"
    (output / "deep").mkdir()
    (output / "deep" / "large").write_bytes(bytes(range(256)) * 2000)
    (output / "result.json").write_text(json.dumps({"loss": 0.1}))
    (output / "link").symlink_to("/etc/passwd")
    target = tmp_path / "here"
    count = fetch_folder(pod.run, "driver", layout.FILES, str(layout.OUTPUT), target)
    assert count == 2
    assert (target / "deep" / "large").read_bytes() == bytes(range(256)) * 2000
    assert json.loads((target / "result.json").read_text()) == {"loss": 0.1}
    assert not (target / "link").exists()


def test_folder_that_is_not_there_brings_nothing(pod: Pod, tmp_path: Path) -> None:
    found = fetch_folder(pod.run, "driver", layout.FILES, "/nowhere", tmp_path / "here")
    assert found == 0


def test_nothing_ends_before_all_of_it_was_read(pod: Pod) -> None:
    """The end of an exec's output may be cut off when its process ends (tried)."""
    with pod.run("driver", layout.FILES, layout.module("archive", str(layout.OUTPUT))) as archive:
        while b"end" not in (archive.read(10) or b""):
            pass
        assert archive.read(0.5) == b""  # it is still there
