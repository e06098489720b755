"""What every framework promises, on a real Kubernetes: what of it is not about processes."""

from __future__ import annotations

import base64
import shutil
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from distributed.security import Security

from ebbtide.infra.lifecycle import steps
from ebbtide.infra.models.job import JobSpec, RetryPolicy
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.kinds import POD, SECRET
from ebbtide.infra.platforms.kubernetes.reading.snapshot import is_ready
from tests.clusters import Outcome, Stand, cluster_spec, script, standing_at
from tests.contract.conftest import small
from tests.contract.rig import Rig
from tests.contract.test_demand_contract import (
    outcome,
    test_queued_work_that_can_never_run_does_not_keep_the_cluster,
    test_tasks_that_only_wait_bring_workers_when_they_are_many,
    test_what_can_never_run_is_told_with_what_there_is,
    test_work_that_reserves_before_it_computes_brings_its_workers,
)
from tests.contract.test_framework_contract import (
    FORGETS,
    PROGRAMS,
    TELLS,
    WANTED,
    WORKS,
    assert_same_as_wanted,
    sees,
    test_idle_cluster_is_warned_about_and_then_released,
    test_lost_head_is_a_fresh_attempt,
    test_out_of_memory_names_the_worker_and_its_limit,
    test_program_that_does_not_wait_for_its_tasks_is_told,
    test_tasks_do_not_get_the_drivers_hook,
    test_view_tells_how_many_tasks_run_and_wait,
    test_worker_that_dies_is_replaced,
    test_workers_count_when_they_have_registered_with_the_head,
)
from tests.contract.test_kept_contract import (
    test_last_words_of_tasks_are_kept_and_so_is_what_the_framework_tells_of_them,
)
from tests.helpers import wait_until

__all__ = [
    "outcome",
    "test_idle_cluster_is_warned_about_and_then_released",
    "test_last_words_of_tasks_are_kept_and_so_is_what_the_framework_tells_of_them",
    "test_lost_head_is_a_fresh_attempt",
    "test_out_of_memory_names_the_worker_and_its_limit",
    "test_program_that_does_not_wait_for_its_tasks_is_told",
    "test_queued_work_that_can_never_run_does_not_keep_the_cluster",
    "test_tasks_do_not_get_the_drivers_hook",
    "test_tasks_that_only_wait_bring_workers_when_they_are_many",
    "test_view_tells_how_many_tasks_run_and_wait",
    "test_what_can_never_run_is_told_with_what_there_is",
    "test_work_that_reserves_before_it_computes_brings_its_workers",
    "test_worker_that_dies_is_replaced",
    "test_workers_count_when_they_have_registered_with_the_head",
]
WAITS_FOR_ITS_END = """
    import os, threading
    if os.environ["EBB_CLUSTER"].endswith("-1"):
        threading.Event().wait(60)
    """
LOSES_A_WORKER = {
    "dask": """
        import os, signal, threading
        from distributed import Client
        losing = Client()
        (first,) = losing.scheduler_info()["workers"]
        dies = lambda: threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGKILL)).start()
        losing.run(dies)
        while first in losing.scheduler_info()["workers"]:
            pass
        losing.close()
        """,
    "ray": """
        import ray

        def dies():
            import os, pathlib, signal
            for folder in pathlib.Path("/proc").glob("[0-9]*"):
                words = (folder / "cmdline").read_bytes().split(bytes(1))
                if b"ebbtide.infra.frameworks.ray.worker" in words and b"tini" not in words[0]:
                    os.kill(int(folder.name), signal.SIGKILL)

        ray.init(log_to_driver=False)
        nodes = lambda: [node for node in ray.nodes() if node["Alive"]]
        alive = lambda: {node["NodeID"] for node in nodes() if node["Resources"].get("CPU")}
        (first,) = alive()
        ray.wait([ray.remote(dies).options(max_retries=0).remote()])
        while first in alive():
            pass
        ray.shutdown()
        """,
    "spark": """
        from pyspark.sql import SparkSession

        def dies(_):
            import os, pathlib, signal
            from pyspark import TaskContext
            if TaskContext.get().attemptNumber():
                return
            for folder in pathlib.Path("/proc").glob("[0-9]*"):
                words = (folder / "cmdline").read_bytes().split(bytes(1))
                if b"ebbtide.infra.frameworks.spark.worker" in words and b"tini" not in words[0]:
                    os.kill(int(folder.name), signal.SIGKILL)

        losing = SparkSession.builder.getOrCreate()
        executors = lambda: losing.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1
        while not executors():
            pass
        losing.sparkContext.parallelize([0], 1).foreach(dies)
        losing.stop()
        """,
}
AGAIN = {"ray": "ray.shutdown()\n"}
"""Between two parts that connect each for itself."""
STRANGER = {
    "dask": """
        import socket
        from distributed import Client
        from distributed.security import Security

        def tried(scheme, **more):
            try:
                Client(f"{scheme}://HEAD:PORT", timeout="5s", **more)
                return "connected"
            except (OSError, TimeoutError):
                return "refused"

        socket.create_connection(("HEAD", PORT), 5).close()
        own = Security(require_encryption=True, **{name: f"{name}.pem" for name in KEYS})
        print("open", tried("tls", security=own), tried("tcp"))
        """,
    "ray": """
        import os, socket, subprocess, sys, textwrap

        ASKS = '''
        import os
        from ray._raylet import GcsClient
        GcsClient("WHERE:PORT").check_alive([], 5)
        print("connected", flush=True)
        os._exit(0)  # with no wait for threads of its own
        '''

        def tried(token):
            auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {}
            env = {**os.environ, **auth}
            asks = textwrap.dedent(ASKS).replace("WHERE", socket.gethostbyname("HEAD"))
            done = subprocess.run([sys.executable, "-c", asks], env=env, capture_output=True)
            return done.stderr.decode()[:2000] if done.returncode else "connected"

        socket.create_connection(("HEAD", PORT), 5).close()
        said = tried("ITS-OWN")
        assert said == "connected", said
        both = [tried(token) for token in ("0" * 64, "")]
        print("open", *("refused" if "oken" in said else said for said in both))
        """,
    "spark": """
        import os, pathlib, socket, subprocess, sys

        ASKS = (
            "from pyspark.sql import SparkSession as s; s.builder.getOrCreate()"
            ".sparkContext.parallelize([1], 1).count()"
        )

        def trying(*lines):
            folder = pathlib.Path(os.environ["EBB_OUTPUT_DIR"], str(len(lines)))
            folder.mkdir()
            lines = ("spark.driver.memory 500m", *lines)
            (folder / "spark-defaults.conf").write_text(chr(10).join(lines))
            env = {
                **os.environ,
                "SPARK_CONF_DIR": str(folder),
                "MASTER": "spark://HEAD:PORT",
                "SPARK_LOCAL_HOSTNAME": socket.gethostbyname(socket.gethostname()),
            }
            errors = (folder / "errors").open("w")
            return subprocess.Popen([sys.executable, "-c", ASKS], env=env, stderr=errors)

        def found(each):
            try:
                return "refused" if each.wait(150) else "connected"
            except subprocess.TimeoutExpired:
                each.kill()
                return "refused"

        socket.create_connection(("HEAD", PORT), 5).close()
        on = ("spark.authenticate true", "spark.network.crypto.enabled true")
        # Spark tries for a minute before it gives up: both at once.
        tries = [trying(*on, "spark.authenticate.secret " + 64 * "0"), trying()]
        print("open", *map(found, tries))
        for file in sorted(pathlib.Path(os.environ["EBB_OUTPUT_DIR"]).glob("*/errors")):
            print(file, file.read_text()[-3000:], file=sys.stderr)
        """,
}
"""With the keys of another cluster, and with none."""
KEYS = ("tls_ca_file", "tls_client_cert", "tls_client_key")
USES_ITS_MODULE = {
    "dask": """
        from distributed import Client
        from mine import SAYS, three
        print(SAYS, Client().submit(three).result())
        """,
    "ray": """
        import ray
        from mine import SAYS, three
        ray.init(log_to_driver=False)
        print(SAYS, ray.get(ray.remote(three).remote()))
        """,
    "spark": """
        from pyspark.sql import SparkSession
        from mine import SAYS, three
        context = SparkSession.builder.getOrCreate().sparkContext
        print(SAYS, context.parallelize([1], 1).map(three).sum())
        """,
}
"""Prints what its module says, and what its function returns in a task."""
MINE = """
    SAYS = "mine"

    def three(*_):
        return 3
    """


@pytest.fixture(scope="module")
def stand(each_framework: str, rig_of_module: Rig) -> Iterator[Stand]:
    spec = rig_of_module.run(f"stand-{each_framework}", small(each_framework), None)
    with standing_at(rig_of_module.settings, spec, autoscale=False) as found:
        yield found


@pytest.fixture(scope="module")
def beside(
    each_framework: str, rig_of_module: Rig, tmp_path_factory: pytest.TempPathFactory
) -> Outcome:
    """A run that loses its head, on its second cluster a worker, sees, works, and forgets."""
    first = (WAITS_FOR_ITS_END, LOSES_A_WORKER[each_framework], sees(each_framework))
    parts = (
        *first,
        AGAIN.get(each_framework, ""),
        WORKS[each_framework],
        TELLS,
        FORGETS[each_framework],
    )
    text = "".join(map(textwrap.dedent, parts))
    program = script(tmp_path_factory.mktemp("beside"), text)
    shutil.copytree(PROGRAMS / "modules", program.parent / "modules")
    env = {**WANTED, "PYTHONPATH": str(program.parent / "modules")}
    name = f"beside-{each_framework}"
    spec = rig_of_module.run(name, small(each_framework), program, env=env)
    killer = threading.Thread(target=lose_head, args=(rig_of_module, f"{name}-1"))
    killer.start()
    found = rig_of_module.carried_out(replace(spec, retry=RetryPolicy(reasons=("infra",))))
    killer.join()
    return found


def token_of(rig: Rig, cluster: str) -> str:
    """Of a Ray cluster; empty of others."""
    secret = connected(rig.settings).get(SECRET, cluster) or {"data": {}}
    return base64.b64decode(secret["data"].get("ray.token", "")).decode()


def lose_head(rig: Rig, cluster: str) -> None:
    """When its program runs."""
    api = connected(rig.settings)

    def runs() -> bool:
        pod = api.get(POD, f"{cluster}-driver")
        return pod is not None and is_ready(pod)

    wait_until(runs, 300, "the program runs")
    api.delete(POD, f"{cluster}-head", grace_s=1)


def test_program_on_a_held_cluster_has_its_own_modules_and_leaves_its_output(
    stand: Stand, each_framework: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(textwrap.dedent(MINE))
    program = script(tmp_path, USES_ITS_MODULE[each_framework])
    job = JobSpec(argv=(sys.executable, str(program)), workdir=str(tmp_path))
    steps.run_program(stand.attempt, "uses_it", job)
    folder = stand.home / "runs" / stand.attempt.spec.name / "programs" / "uses_it"
    assert "mine 3" in (folder / "stdout.log").read_text().splitlines()


def test_what_the_user_sets_holds_in_the_program_and_in_tasks(
    beside: Outcome, each_framework: str
) -> None:
    assert_same_as_wanted(beside.output(), each_framework)


def test_pod_of_another_run_finds_the_head_and_is_refused(
    stand: Stand, each_framework: str, rig_of_module: Rig, tmp_path: Path
) -> None:
    """Whoever is in the namespace and has no keys of this cluster."""
    head, port = f"{stand.attempt.cluster}-head", str(layout.PORT)
    text = (
        STRANGER[each_framework]
        .replace("HEAD", head)
        .replace("PORT", port)
        .replace("KEYS", str(KEYS))
        .replace("ITS-OWN", token_of(rig_of_module, stand.attempt.cluster))
    )
    others = Security.temporary()
    for name in KEYS:
        (tmp_path / f"{name}.pem").write_text(getattr(others, name))
    tier = small(each_framework).tier
    alone = cluster_spec("none", tier=tier, head_tier=tier)
    spec = rig_of_module.run(f"stranger-{each_framework}", alone, script(tmp_path, text))
    images = {"none": stand.attempt.spec.cluster.pool.image(each_framework)}
    pool = replace(spec.cluster.pool, images=images)
    outcome = rig_of_module.carried_out(replace(spec, cluster=replace(spec.cluster, pool=pool)))
    assert "open refused refused" in outcome.output().splitlines(), outcome.errors()
    assert stand.observe().workers_joined == 1


def test_deleted_head_is_told_once(beside: Outcome) -> None:
    assert beside.messages("step_failed") == [Reason.POD_LOST.info.sentence]
