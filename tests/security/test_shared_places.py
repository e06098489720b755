"""Nothing of ours has a name that another user could foresee and take."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import end_marked_processes, marked_processes, wait_until
from tests.security.conftest import OtherUser
from tests.security.test_modes import PROGRAM, modes, open_to_others
from tests.stack.conftest import CATALOG
from tests.stack.prefect import EBB, ROOT, Stack

UMASK = 0o027
SHOWS_TMPDIR = PROGRAM + "pathlib.Path('tmpdir').write_text(os.environ.get('TMPDIR', 'none'))\n"
ON_RAY = """
import json, os, tempfile
import ray

ray.init(log_to_driver=False)
where = ray.get(ray.remote(tempfile.gettempdir).remote())
assert os.path.samefile(where, os.path.dirname(os.environ["RAY_AUTH_TOKEN_PATH"]) + "/../scratch")
print(json.dumps(os.listdir("/tmp") + os.listdir("/dev/shm")))
"""
ON_DASK = """
import json, os
from distributed import Client

Client().submit(sum, [1, 2]).result()
print(json.dumps(os.listdir("/tmp") + os.listdir("/dev/shm")))
"""
ON_SPARK = """
import json
from pyspark.sql import SparkSession

SparkSession.builder.getOrCreate().range(10).count()
print(json.dumps(["runner_storage"]))  # the program's own session has folders, of random names
"""
OWN = 'mount --bind "$0" /tmp && mount -t tmpfs none /dev/shm && exec "$@"'
"""The folders that all share, new and empty, for one command and what it starts."""


@pytest.fixture(scope="module")
def shared(other_user: OtherUser) -> Iterator[Path]:
    """What is ``/tmp`` for what is started here; somebody else has what Prefect's worker makes."""
    with tempfile.TemporaryDirectory(
        prefix="ebb-", dir="/var/tmp", ignore_cleanup_errors=True
    ) as folder:
        shared = Path(folder) / "tmp"
        Path(folder).chmod(0o755)
        shared.mkdir()
        shared.chmod(0o1777)
        other_user.run("mkdir", "-m", "700", str(shared / "runner_storage"), check=True)
        yield shared


@pytest.fixture(scope="module")
def stack(shared: Path) -> Iterator[Stack]:
    """``ebb up``, typed with a umask, in a home that nobody has made."""
    home, place = shared.parent / "home", shared.parent / "place"
    place.mkdir()
    (place / "ebb.yaml").write_text(CATALOG)
    (place / "program.py").write_text(SHOWS_TMPDIR)
    try:
        made = Stack(home, place, environment(home))
        ebb(shared, place, made.environment, "up", "--json")
        yield made
    finally:
        end_marked_processes(home)


def environment(home: Path) -> dict[str, str]:
    """Of a shell without any setting of Prefect's, and without TMPDIR."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT") and k != "TMPDIR"}
    return {**kept, "EBB_HOME": str(home), "PYTHONPATH": str(ROOT)}


def ebb(shared: Path, place: Path, environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", OWN, str(shared), *EBB, *words],
        cwd=place,
        env=environment,
        umask=UMASK,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def names(shared: Path) -> list[str]:
    return sorted(path.name for path in shared.iterdir())


def test_a_run_of_the_stack_is_private_and_its_program_as_the_caller_has_it(
    stack: Stack, shared: Path
) -> None:
    id_ = stack.start("run-job/run-job", program="program.py", cluster={"framework": "none"})
    assert stack.ended(id_)["state"]["type"] == "COMPLETED"
    assert open_to_others(stack.home) == []
    assert modes(stack.place / "mine") == ["640"]
    assert (stack.place / "tmpdir").read_text() == "none"
    assert names(shared) == ["runner_storage"]


def test_the_temporary_folder_is_emptied_when_all_is_down(stack: Stack, shared: Path) -> None:
    assert (stack.home / "stack" / "tmp").exists(), "else there is nothing to empty"
    ebb(shared, stack.place, stack.environment, "down")
    wait_until(lambda: not marked_processes(stack.home), 20, "ebb down leaves nothing")
    assert not (stack.home / "stack" / "tmp").exists()
    assert open_to_others(stack.home) == []


@pytest.mark.parametrize(
    ("framework", "program"), [("ray", ON_RAY), ("dask", ON_DASK), ("spark", ON_SPARK)]
)
def test_a_cluster_has_no_name_in_a_shared_folder(
    shared: Path, framework: str, program: str
) -> None:
    home = shared.parent / f"a-home-with-a-name-too-long-for-the-path-of-a-unix-socket-{framework}"
    place = shared.parent / framework
    place.mkdir()
    (place / "program.py").write_text(program)
    (place / "ebb.yaml").write_text(CATALOG.replace("768Mi", "1500Mi"))
    words = ("--workers", "1", "program.py")
    settings = {**environment(home), "EBB_PREFECT_SERVER": "off"}
    said = ebb(shared, place, settings, "run", "--framework", framework, *words)
    assert json.loads(said) == ["runner_storage"]
    assert names(shared) == ["runner_storage"]
    wait_until(lambda: not marked_processes(home), 60, "its flow process has ended too")
