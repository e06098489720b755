"""What every framework promises. A new one: a size in ``SMALLEST`` and a ``drain_`` program."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.frameworks.base import (
    Framework,
    load_framework,
)
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.models.job import JobSpec, Limits, RetryPolicy
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.models.resources import format_memory
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.settings import Settings
from tests import load
from tests.clusters import Outcome, Stand, carried_out, run_spec, script, standing
from tests.contract.conftest import small
from tests.contract.rig import FRAMEWORKS, Rig
from tests.faults.census import listening_addresses
from tests.helpers import wait_until
from tests.load import starts

PROGRAMS = Path(__file__).parent / "programs"
TASKS = 30
ENDED_WHILE = "the program ended while"


@pytest.fixture(scope="module", params=FRAMEWORKS)
def stand(request: pytest.FixtureRequest, home_of_module: Path) -> Iterator[Stand]:
    spec = run_spec(f"contract-{request.param}", small(request.param), env=WANTED)
    with standing(home_of_module, spec, autoscale=False) as found:
        yield found


@pytest.fixture(scope="module")
def framework(stand: Stand) -> Framework:
    return load_framework(stand.attempt.spec.cluster.framework)


WANTED = {
    **{"MINE": "1", "TZ": "Asia/Tokyo", "COLUMNS": "60", "LC_ALL": "C", "OMP_NUM_THREADS": "4"},
    **{"http_proxy": "http://127.0.0.1:9", "all_proxy": "socks5://127.0.0.1:9"},
    **{"PYTHONPATH": str(PROGRAMS / "modules"), "PYTHONWARNINGS": "error", "PYTHONHASHSEED": "7"},
    **{"PYTHONOPTIMIZE": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1"},
    **{"PYTHONSAFEPATH": "1", "PYTHONSTARTUP": "/nowhere", "PYTHONBREAKPOINT": "0"},
    **{"PYTHONUNBUFFERED": "", "PYTHONPROFILEIMPORTTIME": "", "TMPDIR": "/var/tmp"},
}
"""Members start under all of it."""
SETS_ITSELF = {"ray": "PYTHONBREAKPOINT", "spark": "PYTHONUNBUFFERED"}
"""Which of it a framework sets to something of its own in each task, on a laptop as well."""

SEES = """
    import json, os, warnings
    warnings.simplefilter("ignore")
    def seen(_=0):
        import os, warnings, only_here
        try:
            warnings.warn("a task warns")
            raised = False
        except UserWarning:
            raised = True
        return dict(os.environ), only_here.SAYS, raised
    """
SEES_IN_TASK = {
    "dask": """
        from distributed import Client
        task = Client().submit(seen).result(timeout=180)
        """,
    "ray": """
        import ray
        ray.init()
        task = ray.get(ray.remote(seen).remote())
        """,
    "spark": """
        from pyspark.sql import SparkSession
        context = SparkSession.builder.getOrCreate().sparkContext
        (task,) = context.parallelize([0], 1).map(seen).collect()
        """,
}


def sees(framework: str) -> str:
    """A program that prints what it and a task see of their surroundings."""
    parts = (SEES, SEES_IN_TASK[framework], "print(json.dumps([seen(), task]))\n")
    return "".join(map(textwrap.dedent, parts))


WORKS = {
    "dask": """
        from distributed import Client
        print(Client().submit(sum, [1, 2]).result(timeout=180))
        """,
    "ray": """
        import ray
        ray.init()
        print(ray.get(ray.remote(lambda: 3).remote()))
        """,
    "spark": """
        from pyspark.sql import SparkSession
        print(SparkSession.builder.getOrCreate().sparkContext.parallelize([1, 2], 1).sum())
        """,
}


LOSES = """
    import pathlib, threading
    from tests.load import kill_member
    flag = pathlib.Path("killed")
    if not flag.exists():
        flag.touch()
        kill_member("head")
        threading.Event().wait(60)
    kill_member("worker-0")
    """


TELLS = """
    def told(path):
        import os, pathlib
        pathlib.Path(os.environ["EBB_OUTPUT_DIR"], "path").write_text(str(path))
    """


FORGETS = {
    "dask": """
        import os, time
        from distributed import get_client
        told(get_client().submit(os.environ.get, "PYTHONPATH").result())
        kept = get_client().submit(time.sleep, 60)
        """,
    "ray": """
        import os, time
        told(ray.get(ray.remote(lambda: os.environ.get("PYTHONPATH")).remote()))
        kept = ray.remote(lambda: time.sleep(60)).remote()
        """,
    "spark": """
        import os, threading, time
        context = SparkSession.active().sparkContext
        told(context.parallelize([0], 1).map(lambda _: os.environ.get("PYTHONPATH")).first())
        sleepers = context.parallelize([60], 1)
        threading.Thread(target=lambda: sleepers.foreach(time.sleep), daemon=True).start()
        while not context.statusTracker().getActiveStageIds():
            threading.Event().wait(0.1)
        """,
}


@pytest.fixture(scope="module")
def beside(stand: Stand, framework: Framework, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A run beside it that loses its head, on its second cluster a worker, works, and forgets."""
    parts = (LOSES, WORKS[framework.name], TELLS, FORGETS[framework.name])
    text = "".join(map(textwrap.dedent, parts))
    program = script(tmp_path_factory.mktemp("beside"), text)
    spec = run_spec(f"beside-{framework.name}", small(framework.name), program)
    return carried_out(stand.home, replace(spec, retry=RetryPolicy(reasons=("infra",))))


def test_workers_count_when_they_have_registered_with_the_head(stand: Stand) -> None:
    view = stand.observe()
    assert (view.workers_wanted, view.workers_joined) == (1, 1)


def test_view_tells_how_many_tasks_run_and_wait(stand: Stand) -> None:
    wait_until(lambda: stand.observe().tasks_running is not None, 60, "the head has been asked")
    view = stand.observe()
    assert (view.tasks_running, view.tasks_waiting, view.workers_missing) == (0, 0, ())


def test_program_connects_by_its_environment_alone(stand: Stand, framework: Framework) -> None:
    with connecting(framework, stand, stand.view.driver_env) as program:
        said, errors = program.communicate(timeout=180)
    assert program.returncode == 0, errors
    assert "connected" in said


def test_program_and_tasks_see_the_same_of_what_the_user_sets(
    stand: Stand, framework: Framework, tmp_path: Path
) -> None:
    """Stronger than our defaults, and no member of the cluster has died of it."""
    program = script(tmp_path, sees(framework.name))
    job = JobSpec(argv=(sys.executable, str(program)), workdir=str(tmp_path), env=WANTED)
    stand.attempt.platform.start_program(stand.attempt.cluster, "sees", job)
    views = lambda: [view for view in stand.observe().programs.values() if view.ended_at]  # noqa: E731
    (ended,) = wait_until(views, 240, "the program has ended")
    folder = Settings(stand.home).run_folder(stand.attempt.spec.name) / "programs" / "sees"
    assert ended.exit_code == 0, (folder / "stderr.log").read_text()
    assert_same_as_wanted((folder / "stdout.log").read_text(), framework.name)
    assert stand.observe().workers_joined == 1
    assert stand.messages("warning") == []


def assert_same_as_wanted(printed: str, framework: str) -> None:
    """Of what ``SEES`` has printed, whatever else was: Ray prints there as well."""
    lines = printed.splitlines()
    driver, task = json.loads(next(line for line in lines if line.startswith("[[")))
    special = ("PYTHONPATH", SETS_ITSELF.get(framework))
    compared = {name: value for name, value in WANTED.items() if name not in special}
    for environment, module, _ in (driver, task):
        assert {name: environment.get(name) for name in compared} == compared
        assert module == "imported by PYTHONPATH"
    assert task[2], "PYTHONWARNINGS holds in tasks"


@pytest.fixture(scope="module")
def stranger(stand: Stand, framework: Framework) -> Iterator[subprocess.Popen[str]]:
    """Who has found the port and has no key. Spark tries for a minute: it is begun early."""
    folder = str(Settings(stand.home).cluster_folder(stand.view.cluster))
    known = {name: value for name, value in stand.view.driver_env.items() if folder not in value}
    with connecting(framework, stand, known) as program:
        yield program


@pytest.mark.usefixtures("stranger")
def test_another_cluster_stands_beside_it(stand: Stand, beside: Outcome) -> None:
    """Usual ports are taken, temporary folders and sockets must not be shared."""
    assert beside.error is None, beside.errors()
    assert beside.output().endswith("3\n")  # Ray says before it that a node is gone
    assert stand.observe().failure is None


def test_lost_head_is_a_fresh_attempt(beside: Outcome) -> None:
    assert (beside.run.attempt, beside.run.phase) == (2, "Succeeded"), beside.errors()


def test_lost_head_is_told_once(beside: Outcome) -> None:
    """With the end of its log: the program that is ended with it is no second failure."""
    assert beside.messages("step_failed") == [Reason.HEAD_LOST.info.sentence]


def test_worker_that_dies_is_replaced(beside: Outcome) -> None:
    died = "worker-0 died and is replaced: it was killed by SIGKILL (137)"
    assert [told for told in beside.messages("warning") if told.startswith(died)]


def test_program_that_does_not_wait_for_its_tasks_is_told(beside: Outcome) -> None:
    told = [words for words in beside.messages("warning") if words.startswith(ENDED_WHILE)]
    assert not [words for words in beside.messages("warning") if "no task" in words]
    assert told == [f"{ENDED_WHILE} 1 task was pending or running: what it returns is lost"]


def test_tasks_do_not_get_the_drivers_hook(beside: Outcome) -> None:
    assert "bootstrap" not in (beside.folder / "output" / "path").read_text()


def test_tasks_get_the_users_python_path(beside: Outcome) -> None:
    assert os.environ["PYTHONPATH"] in (beside.folder / "output" / "path").read_text()


def test_everything_listens_on_loopback_only(stand: Stand) -> None:
    addresses = listening_addresses(process.pid for process in processes_of(stand))
    assert addresses
    assert [address for address in addresses if not address.startswith("127.")] == []


def test_no_key_is_in_an_argument_or_a_variable(stand: Stand) -> None:
    keys = keys_in(Settings(stand.home).cluster_folder(stand.view.cluster))
    assert keys
    for process in processes_of(stand):
        for part in ("cmdline", "environ"):
            seen = Path(f"/proc/{process.pid}/{part}").read_bytes()
            assert not any(key in seen for key in keys)


def test_program_without_its_key_is_kept_out(stranger: subprocess.Popen[str]) -> None:
    """Who finds the port must not get further than the handshake."""
    said, _ = stranger.communicate(timeout=180)
    assert stranger.returncode != 0
    assert "connected" not in said


def test_cluster_whose_processes_hang_is_released_all_the_same(stand: Stand) -> None:
    """The last test of this cluster."""
    hanging = [each for each in processes_of(stand) if each.role in ("head", "worker")]
    for each in hanging:
        os.kill(each.pid, signal.SIGSTOP)
    steps.tear_down(stand.attempt, None)
    assert {each.role for each in hanging} == {"head", "worker"}
    assert processes_of(stand) == []


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_shrinking_loses_nothing(framework: str, ebb_home: Path, tmp_path: Path) -> None:
    """Counted starts, stored data and a shuffle, while several workers leave in the middle."""
    log = tmp_path / "starts"
    program = PROGRAMS / f"drain_{framework}.py"
    spec = run_spec("drain", small(framework), program, words=(str(log), str(TASKS)))
    outcome = carried_out(ebb_home, spec)
    assert outcome.error is None, outcome.errors()
    assert json.loads(outcome.output()) == {"kept": True, "right": True}
    assert starts(log) == Counter({str(item): 1 for item in range(TASKS)})
    assert len(outcome.messages("left")) >= 2
    assert not [w for w in outcome.messages("warning") if ENDED_WHILE in w or "no task" in w]


HOG = textwrap.dedent(inspect.getsource(load.hog))
HOGS = {
    "dask": """
        from distributed import Client
        Client().submit(hog, 2000, retries=0).result()
        """,
    "ray": """
        import ray
        ray.init(log_to_driver=False)
        ray.get(ray.remote(hog).options(max_retries=0).remote(2000))
        """,
    "spark": """
        from pyspark.sql import SparkSession
        session = SparkSession.builder.config("spark.task.maxFailures", 1).getOrCreate()
        session.sparkContext.parallelize([2000], 1).foreach(hog)
        """,
}


def test_out_of_memory_names_the_worker_and_its_limit(
    each_framework: str, rig: Rig, tmp_path: Path
) -> None:
    program = script(tmp_path, HOG + textwrap.dedent(HOGS[each_framework]))
    outcome = rig.carried_out(rig.run("hog", small(each_framework), program))
    assert outcome.run.reason == Reason.OUT_OF_MEMORY, outcome.errors()
    limit = format_memory(small(each_framework).tier.resources.memory_bytes)
    assert re.search(rf"worker-\d+.* {limit}", outcome.run.detail)


def test_idle_cluster_is_warned_about_and_then_released(
    each_framework: str, rig: Rig, tmp_path: Path
) -> None:
    waits = "import threading\nthreading.Event().wait(120)\n"
    program = script(tmp_path, textwrap.dedent(WORKS[each_framework]) + waits)
    limits = Limits(idle_release_s=6)
    outcome = rig.carried_out(rig.run("idle", small(each_framework), program, limits=limits))
    assert (outcome.run.reason, outcome.run.exit_code) == (Reason.IDLE, ExitCode.TIMEOUT)
    assert outcome.output().endswith("3\n")
    assert any("no work for" in words for words in outcome.messages("warning"))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_asking_a_framework_does_not_import_it(framework: str) -> None:
    words = f"""
import sys
from ebbtide.infra.frameworks.base import load_framework
load_framework({framework!r}).problems(sys.executable)
print(*{{name.split('.')[0] for name in sys.modules}})
"""
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert not {"distributed", "ray", "pyspark"} & set(done.stdout.split())


@contextlib.contextmanager
def connecting(
    framework: Framework, stand: Stand, environment: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """Asks for a client in a process that has nothing else."""
    words = f"""
import json, sys
from ebbtide.infra.frameworks.base import load_framework
with load_framework({framework.name!r}).client(sys.argv[1], json.loads(sys.argv[2])):
    print("connected")
"""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "EBB_HOME") if key in os.environ}
    argv = [sys.executable, "-c", words, stand.view.head_address, json.dumps(environment)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, env=kept, stdout=pipe, stderr=pipe, text=True) as program:
        try:
            yield program
        finally:
            program.kill()


def keys_in(folder: Path) -> list[bytes]:
    """What only the cluster's own processes may know: key files, and Spark's line for it."""
    kinds = ("*.key", "*token*", "*.secret")
    found = [path.read_bytes() for kind in kinds for path in folder.rglob(kind)]
    for path in folder.rglob("spark-defaults.conf"):
        found += re.findall(rb"authenticate.secret (.+)", path.read_bytes())
    return [key.strip() for key in found]


def processes_of(stand: Stand) -> list[marks.Marked]:
    return marks.marked(stand.home, stand.view.cluster)
