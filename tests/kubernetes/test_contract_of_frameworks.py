"""What every framework promises, on a real Kubernetes: what of it is not about processes."""

from __future__ import annotations

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
from ebbtide.infra.platforms.kubernetes.kinds import POD
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
        """
}
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
        """
}
"""With the keys of another cluster, and with none."""
KEYS = ("tls_ca_file", "tls_client_cert", "tls_client_key")
USES_ITS_MODULE = {
    "dask": """
        from distributed import Client
        from mine import SAYS
        print(SAYS, Client().submit(sum, [1, 2]).result())
        """
}
"""Prints what its module says, and what a task has added up."""


@pytest.fixture(scope="module")
def stand(each_framework: str, rig_of_module: Rig) -> Iterator[Stand]:
    spec = rig_of_module.run("stand", small(each_framework), None)
    with standing_at(rig_of_module.settings, spec, autoscale=False) as found:
        yield found


@pytest.fixture(scope="module")
def beside(
    each_framework: str, rig_of_module: Rig, tmp_path_factory: pytest.TempPathFactory
) -> Outcome:
    """A run that loses its head, on its second cluster a worker, sees, works, and forgets."""
    first = (WAITS_FOR_ITS_END, LOSES_A_WORKER[each_framework], sees(each_framework))
    parts = (*first, WORKS[each_framework], TELLS, FORGETS[each_framework])
    text = "".join(map(textwrap.dedent, parts))
    program = script(tmp_path_factory.mktemp("beside"), text)
    shutil.copytree(PROGRAMS / "modules", program.parent / "modules")
    env = {**WANTED, "PYTHONPATH": str(program.parent / "modules")}
    spec = rig_of_module.run("beside", small(each_framework), program, env=env)
    killer = threading.Thread(target=lose_head, args=(rig_of_module, "beside-1"))
    killer.start()
    found = rig_of_module.carried_out(replace(spec, retry=RetryPolicy(reasons=("infra",))))
    killer.join()
    return found


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
    (tmp_path / "mine.py").write_text("SAYS = 'mine'")
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
    )
    others = Security.temporary()
    for name in KEYS:
        (tmp_path / f"{name}.pem").write_text(getattr(others, name))
    spec = rig_of_module.run("stranger", cluster_spec("none"), script(tmp_path, text))
    images = {"none": stand.attempt.spec.cluster.pool.image(each_framework)}
    pool = replace(spec.cluster.pool, images=images)
    outcome = rig_of_module.carried_out(replace(spec, cluster=replace(spec.cluster, pool=pool)))
    assert "open refused refused" in outcome.output().splitlines(), outcome.errors()
    assert stand.observe().workers_joined == 1


def test_deleted_head_is_told_once(beside: Outcome) -> None:
    assert beside.messages("step_failed") == [Reason.POD_LOST.info.sentence]
