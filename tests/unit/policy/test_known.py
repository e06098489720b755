"""Known sentences of the frameworks: each row, with a sentence as it is really printed.

Sources: the wheels beside this test (distributed 2026.8, ray 2.60, pyspark 4.3: their Python files,
error-conditions.json, and the strings in their jars and binaries), glibc and CPython 3.11.
"""

from __future__ import annotations

import pytest

from ebbtide.infra.policy.explain.known import KNOWN, hint_for, known

SENTENCES = {
    "a task ended each worker": "distributed.scheduler.KilledWorker: Attempted to run task 'f-1' on"
    " 4 different workers, but all those workers died while running it. The last worker that",
    "asks for something that no worker": "distributed.scheduler.NoValidWorkerError: Attempted to"
    " run task 'f' but timed out after 30 s waiting for a valid worker matching all restrictions.",
    "did not answer in time": "OSError: Timed out trying to connect to tls://127.0.0.1:8786 after"
    " 30 s",
    "are not those of the cluster": "VersionMismatchWarning: Mismatched versions found\n\n+-----+",
    "its node had no memory": "ray.exceptions.OutOfMemoryError: 1 worker(s) were killed due to the"
    " node running low on memory.",
    "process of a task was killed": "ray.exceptions.WorkerCrashedError: The worker died"
    " unexpectedly while executing this task. Check python-core-worker-*.log files.",
    "do not fit a worker's object store": "ray.exceptions.ObjectStoreFullError: Failed to put\nThe"
    " local object store is full of objects that are still in scope and cannot be evicted. Tip:",
    "did not answer for long": "The node with node id: 1f and address: 127.0.0.1 and node name: x"
    " has been marked dead because the detector has missed too many heartbeats from it.",
    "Ray or Python is not": "RuntimeError: Version mismatch: The cluster was started with:\n",
    "more than any worker": "No available node types can fulfill resource requests {'GPU': 1.0}*1."
    " Add suitable node types to this cluster to resolve this issue.",
    "not up in time": "Exception: The current node timed out during startup. This could happen",
    "an executor as large": "26/11/26 WARN TaskSchedulerImpl: Initial job has not accepted any"
    " resources; check your cluster UI to ensure that workers are registered and have sufficient",
    "an executor was killed": "ExecutorLostFailure (executor 0 exited caused by one of the running"
    " tasks) Reason: Command exited with code 137",
    "same Python on both sides": "[PYTHON_VERSION_MISMATCH] Python in worker has different version:"
    " 3.12 than that in driver: 3.11, PySpark cannot run with different minor versions.",
    "more than the driver may hold": "Job aborted due to stage failure: Total size of serialized"
    " results of 12 tasks (1100.0 MiB) is bigger than spark.driver.maxResultSize (1024.0 MiB)",
    "a barrier stage": "[SPARK-24819]: Barrier execution mode does not allow run a barrier stage"
    " that requires more slots than the total number of slots in the cluster currently.",
    "heap of a JVM": 'Exception in thread "main" java.lang.OutOfMemoryError: Java heap space',
    "a module was not found": "ModuleNotFoundError: No module named 'mine'",
    "cannot be sent to a worker": "TypeError: cannot pickle '_thread.lock' object",
    "a disk is full": "OSError: [Errno 28] No space left on device: '/data/x'",
    "library of the system": "java: error while loading shared libraries: libjli.so: cannot open"
    " shared object file: No such file or directory",
    "listens on that port": "OSError: [Errno 98] Address already in use",
}
ALSO = {
    "an executor was killed": "ExecutorLostFailure (executor 1 exited unrelated to the running"
    " tasks) Reason: Remote RPC client disassociated. Likely due to containers",
    "heap of a JVM": "java.lang.OutOfMemoryError: GC overhead limit exceeded",
    "cannot be sent to a worker": "_pickle.PicklingError: Can't pickle <function f at 0x7f>: it's"
    " not found as __main__.f",
}


@pytest.mark.parametrize(("means", "said"), [*SENTENCES.items(), *ALSO.items()])
def test_sentence_is_known_by_what_it_means(means: str, said: str) -> None:
    found = known(f"something before\n{said}\nsomething after")
    assert found is not None
    assert means in found.means


def test_each_row_has_its_sentence() -> None:
    assert [row.means for row in KNOWN if not any(means in row.means for means in SENTENCES)] == []
    assert len(KNOWN) == len(SENTENCES)


def test_of_several_sentences_the_last_counts() -> None:
    before, after = SENTENCES["an executor as large"], SENTENCES["a module was not found"]
    found = known(f"{before}\n{after}")
    assert found is not None
    assert found.means == "a module was not found"


def test_hint_names_the_run() -> None:
    said = SENTENCES["did not answer in time"]
    assert "see ebb logs heron --from head and ebb why heron" in hint_for(said, "heron")
    assert hint_for("ValueError: 3", "heron") == ""


@pytest.mark.parametrize("text", ["", "ValueError: 3", "Killed", "Memory: 12 MiB of 600 MiB"])
def test_what_is_not_known_has_no_hint(text: str) -> None:
    assert known(text) is None
