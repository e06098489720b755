"""Sentences of the frameworks, of Java and of Python that people meet often: what they mean here.

A table: a pattern, what it means, what to do. Each row has a test with the sentence as it is really
printed. Pure. Does not belong here: sentences that Ebb writes itself (``diagnosis``), and what is
only a guess: a hint that is wrong costs more than none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """One sentence that has a meaning and a fix."""

    pattern: re.Pattern[str]
    means: str
    fix: str


def _row(pattern: str, means: str, fix: str) -> Known:
    return Known(re.compile(pattern), means, fix)


_LARGER_TIER = "use a larger --tier, or smaller pieces of data at a time"
_IMPORTS = (
    "workers import what is installed in the cluster's Python, what lies beside the program, in its"
    " working folder and on PYTHONPATH: install it there, or name its folder (--env PYTHONPATH=DIR)"
)

KNOWN: tuple[Known, ...] = (
    # Dask ---------------------------------------------------------------------------------------
    _row(
        r"different workers, but all those workers died while running it",
        "a task ended each worker that ran it, most often by its memory",
        _LARGER_TIER + "; ebb logs RUN --from worker-0 has the worker's last words",
    ),
    _row(
        r"waiting for a valid worker matching all restrictions",
        "a task asks for something that no worker offers",
        "ask for no resources=… or workers=… that this cluster's workers do not have",
    ),
    _row(
        r"Timed out (?:trying to connect to|during handshake while connecting to) \w+://",
        "the scheduler or a worker did not answer in time",
        "see ebb logs RUN --from head and ebb why RUN for whether it died or was busy; --env"
        " DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT=60s waits longer",
    ),
    _row(
        r"Mismatched versions found",
        "the program's packages are not those of the cluster",
        "run the program with the Python that has ebb: ebb run PROGRAM.py, without an interpreter",
    ),
    # Ray ----------------------------------------------------------------------------------------
    _row(
        r"killed due to the node running low on memory|ray\.exceptions\.OutOfMemoryError",
        "Ray ended a task or actor because its node had no memory left",
        _LARGER_TIER + "; or let fewer run at once on a worker (num_cpus=2)",
    ),
    _row(
        r"The worker died unexpectedly while executing this task",
        "the process of a task was killed, most often for its memory, or crashed in native code",
        _LARGER_TIER + "; ebb logs RUN --from worker-0 has its last words",
    ),
    _row(
        r"The local object store is full of objects that are still in scope",
        "the objects that the program still refers to do not fit a worker's object store",
        "delete references that are no longer needed, or use a larger --tier",
    ),
    _row(
        r"has been marked dead because the detector has missed too many heartbeats",
        "a worker did not answer for long: it was busy, out of memory, or gone",
        "see ebb why RUN for a worker that died; otherwise leave a CPU free, or a larger --tier",
    ),
    _row(
        r"Version mismatch: The (?:cluster|program)",
        "the program's Ray or Python is not the cluster's",
        "run the program with the Python that has ebb: ebb run PROGRAM.py, without an interpreter",
    ),
    _row(
        r"No available node types can fulfill",
        "something asks for more than any worker of this cluster has",
        "ask for less (num_cpus, resources), or use a --tier that has it",
    ),
    _row(
        r"The current node timed out during startup",
        "parts of a Ray node were not up in time: the machine was busy, or one of them died",
        "run it again when the machine is less busy, or begin with fewer workers (--workers 1..8)",
    ),
    # Spark --------------------------------------------------------------------------------------
    _row(
        r"Initial job has not accepted any resources",
        "no worker can take an executor as large as the session asks for",
        "leave spark.executor.memory and .cores to ebb, or ask for less than the --tier has",
    ),
    _row(
        r"ExecutorLostFailure.*?(?:code 137|disassociated)",
        "an executor was killed while it ran a task, most often for its memory",
        _LARGER_TIER + "; or more partitions (repartition)",
    ),
    _row(
        r"Python in worker has different version",
        "PySpark needs the same Python on both sides",
        "leave PYSPARK_PYTHON and spark.pyspark.python to ebb, and run PROGRAM.py with its Python",
    ),
    _row(
        r"Total size of serialized results of \d+ tasks .* is bigger than",
        "the program fetches more than the driver may hold at once",
        "write it (df.write) or aggregate before collect(); or spark.driver.maxResultSize and a"
        " larger --head-tier",
    ),
    _row(
        r"SPARK-24819",
        "a barrier stage needs all its tasks to run at once, and there are fewer slots",
        "more workers (--workers N..) or fewer partitions: N workers × CPUs of the --tier",
    ),
    # Java ---------------------------------------------------------------------------------------
    _row(
        r"java\.lang\.OutOfMemoryError: (?:Java heap space|GC overhead limit exceeded)",
        "the heap of a JVM was too small for what it held",
        "in an executor: a larger --tier or more partitions; in the driver: a larger --head-tier,"
        " or collect less",
    ),
    # Python and the machine ---------------------------------------------------------------------
    _row(r"ModuleNotFoundError: No module named", "a module was not found", _IMPORTS),
    _row(
        r"annot pickle|Can't pickle|PicklingError|Could not serialize object",
        "something that a task uses cannot be sent to a worker",
        "make it inside the task (a connection, a lock, an open file), not outside",
    ),
    _row(
        r"No space left on device",
        "a disk is full",
        "free disk space where EBB_HOME and the program's files lie",
    ),
    _row(
        r"error while loading shared libraries|cannot open shared object file",
        "a library of the system is missing",
        "install the package that has it; ldd shows what a program or extension needs",
    ),
    _row(
        r"Address already in use",
        "another process listens on that port",
        "let the system choose the port (0), or end what holds it",
    ),
)


def known(text: str) -> Known | None:
    """Return the row whose sentence comes last in a text; None when there is none of them."""
    found = [(match.start(), row) for row in KNOWN for match in row.pattern.finditer(text)]
    return max(found, key=lambda one: one[0])[1] if found else None


def hint_for(text: str, run: str) -> str:
    """Return what to do where a text holds a known sentence, with the run's name; else nothing."""
    found = known(text)
    return found.fix.replace("RUN", run) if found else ""
