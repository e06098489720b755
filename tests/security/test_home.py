"""EBB_HOME is made, closed or refused; nobody else can look into it or put another in its place."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.files import private
from ebbtide.infra.files.private import private_folder, private_home
from ebbtide.infra.files.volumes import has_one_user, is_empty_dir
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.records import Event, EventKind
from ebbtide.infra.records.ledger import Ledger
from tests.security.conftest import OtherUser


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder below ``/tmp`` that is open to all to look at."""
    with tempfile.TemporaryDirectory(prefix="ebb-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder).resolve()


def test_every_folder_that_is_made_is_private(place: Path, umask: int) -> None:
    folder = private_folder(place / "a" / "home", "runs", "one", "output")
    made = [folder, *folder.parents[:4]]
    assert made[-1].name == "a"
    assert {mode(each) for each in made} == {0o700}


def test_folders_that_were_open_are_closed(place: Path) -> None:
    home = private_home(place / "home")
    (home / "runs").mkdir(mode=0o755)
    private_folder(home, "runs", "one")
    assert mode(home / "runs") == 0o700


def test_the_ledger_and_its_log_are_private(place: Path, umask: int) -> None:
    ledger = Ledger(place / "home")
    ledger.rows("SELECT 1 FROM runs")
    ledger.append(Event(run=RunName("r"), kind=EventKind.NOTE, message="words"))
    modes = {path.name: mode(path) for path in ledger.path.parent.iterdir()}
    ledger.close()
    assert modes == dict.fromkeys(
        ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"), 0o600
    )


def test_an_open_ledger_of_before_is_closed(place: Path) -> None:
    home = place / "home"
    Ledger(home).rows("SELECT 1 FROM runs")
    (home / "ledger.sqlite").chmod(0o644)
    Ledger(home).rows("SELECT 1 FROM runs")
    assert mode(home / "ledger.sqlite") == 0o600


@pytest.mark.parametrize("open_mode", [0o755, 0o775, 0o777])
def test_an_open_home_of_ours_is_closed_with_a_word(
    place: Path, open_mode: int, capsys: pytest.CaptureFixture[str]
) -> None:
    home = place / "home"
    (home / "runs").mkdir(parents=True)
    (home / "ledger.sqlite").touch()
    home.chmod(open_mode)
    private_home(home)
    private_home(home)
    assert mode(home) == 0o700
    assert capsys.readouterr().err == f"! other users could read {home}; it is now private\n"


def test_a_home_that_holds_other_things_is_refused_and_left_alone(place: Path) -> None:
    (place / "thesis.tex").touch()
    with pytest.raises(ConfigurationError, match=r"thesis\.tex"):
        Ledger(place).rows("SELECT 1 FROM runs")
    assert mode(place) == 0o755
    assert [path.name for path in place.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_home(place: Path) -> None:
    (place / "home").touch()
    with pytest.raises(ConfigurationError, match="not a folder"):
        private_home(place / "home")


def test_a_folder_that_all_can_replace_is_refused(place: Path) -> None:
    place.chmod(0o777)
    with pytest.raises(ConfigurationError, match="everybody can replace"):
        private_home(place / "home")
    with pytest.raises(ConfigurationError, match="everybody can replace"):
        private_home(place / "deep" / "home")


FIRST = "Name:\ttini\nUid:\t10001\t10001\t10001\t10001\nNoNewPrivs:\t1\n"
VOLUMES = "/var/lib/kubelet/pods/5b1c/volumes"
MOUNTS = (
    "501 500 0:40 / / ro - overlay overlay ro\n"
    f"502 501 8:1 {VOLUMES}/kubernetes.io~empty-dir/tmp /tmp rw - ext4 /dev/sda1 rw\n"
    f"503 501 8:1 {VOLUMES}/kubernetes.io~empty-dir/old /over rw - ext4 /dev/sda1 rw\n"
    f"504 501 0:51 /exports /over rw - nfs4 server:/exports rw\n"
    f"505 501 0:52 / /memory rw - tmpfs tmpfs rw\n"
    f"506 501 8:1 {VOLUMES}/kubernetes.io~empty-dir/my /my\\040files rw - ext4 /dev/sda1 rw\n"
)


@pytest.mark.parametrize(
    ("first", "user", "alone"),
    [
        (FIRST, 10001, True),
        (FIRST, 10002, False),  # another user's container, in which we are a guest
        (FIRST.replace("\t10001\t10001\n", "\t0\t0\n"), 10001, False),
        (FIRST.replace("10001", "0"), 0, False),  # root becomes whom it likes
        (FIRST.replace("NoNewPrivs:\t1", "NoNewPrivs:\t0"), 10001, False),
        ("", 10001, False),
    ],
)
def test_pod_has_one_user_where_nobody_can_become_another(
    first: str, user: int, alone: bool
) -> None:
    assert has_one_user(first, user) is alone


@pytest.mark.parametrize(
    ("folder", "is_one"),
    [
        *(("/tmp", True), ("/my files", True), ("/tmp/below", False)),
        *(("/", False), ("/gone", False), ("/over", False), ("/memory", False)),
    ],
)
def test_only_an_empty_dir_is_known_to_be_one_pods(folder: str, is_one: bool) -> None:
    assert is_empty_dir(MOUNTS, Path(folder)) is is_one


def test_volume_that_other_pods_may_have_is_refused_in_a_pod_too(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.chmod(0o777)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr(Path, "is_mount", lambda path: path == place)
    with pytest.raises(ConfigurationError, match="everybody can replace"):
        private_home(place / "home")
    monkeypatch.setattr(private, "is_pods_own", lambda path: path == place)
    assert private_home(place / "home").is_dir()


def test_what_another_user_has_put_into_a_pods_own_volume_is_not_trusted(
    place: Path, other_user: OtherUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.chmod(0o777)
    monkeypatch.setattr(private, "is_pods_own", lambda path: path == place)
    other_user.run("mkdir", "-m", "755", str(place / "theirs"), check=True)
    with pytest.raises(ConfigurationError, match=f"{other_user.name}, who can replace it"):
        private_home(place / "theirs" / "home")


def test_a_link_of_ours_is_followed(place: Path) -> None:
    private_home(place / "disk")
    (place / "home").symlink_to(place / "disk")
    private_folder(place / "home", "runs")
    assert (place / "disk" / "runs").is_dir()


def test_a_folder_of_another_user_is_refused(other_user: OtherUser) -> None:
    home = other_user.home / "planted"
    other_user.run("mkdir", "-m", "700", str(home), check=True)
    with pytest.raises(ConfigurationError, match=f"belongs to {other_user.name}"):
        private_home(home)


def test_a_link_of_another_user_is_refused(place: Path, other_user: OtherUser) -> None:
    place.chmod(0o1777)
    private_home(place / "mine")
    other_user.run("ln", "-s", str(place / "mine"), str(place / "home"), check=True)
    with pytest.raises(ConfigurationError, match=f"{other_user.name}, who can replace it"):
        private_home(place / "home")
    with pytest.raises(ConfigurationError, match=f"{other_user.name}, who can replace it"):
        private_home(place / "home" / "below")


def test_a_home_in_another_users_folder_among_all_is_refused(
    place: Path, other_user: OtherUser
) -> None:
    place.chmod(0o1777)
    other_user.run("mkdir", "-m", "1777", str(place / "theirs"), check=True)
    with pytest.raises(ConfigurationError, match=f"{other_user.name}, who can replace it"):
        private_home(place / "theirs" / "home")


def test_what_another_user_has_put_into_an_open_home_is_not_trusted(
    place: Path, other_user: OtherUser
) -> None:
    home = private_home(place / "home")
    (home / "runs").mkdir()
    (home / "runs").chmod(0o777)
    home.chmod(0o777)
    other_user.run("touch", str(home / "runs" / "planted"), check=True)
    with pytest.raises(ConfigurationError, match=f"planted was put there by {other_user.name}"):
        private_home(home)


def test_another_user_cannot_look_into_a_home(place: Path, other_user: OtherUser) -> None:
    home = private_folder(place / "home", "runs").parent
    Ledger(home).rows("SELECT 1 FROM runs")
    assert other_user.run("ls", str(place)).returncode == 0
    assert other_user.run("ls", str(home)).returncode != 0
    assert other_user.run("cat", str(home / "ledger.sqlite")).returncode != 0
