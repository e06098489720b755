"""Spark's command lines, configuration and answers. Does not import Spark: it costs seconds."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from ebbtide.infra.errors import Problem
from ebbtide.infra.frameworks.base import FrameworkStatus, HeadInfo, PodTemplates, ProcessSpec
from ebbtide.infra.frameworks.door import SECRET_FILE, new_secret
from ebbtide.infra.frameworks.heads import ask_status
from ebbtide.infra.frameworks.interpreters import mismatch
from ebbtide.infra.frameworks.plan import (
    ClusterPlan,
    MemberAddress,
    MemberPaths,
    SecretFile,
    head_settings,
    worker_settings,
)
from ebbtide.infra.frameworks.spark import pages
from ebbtide.infra.frameworks.spark.config import gpus, users
from ebbtide.infra.frameworks.spark.config.java import GOVERN, OPTIONS, java_problem, java_version
from ebbtide.infra.frameworks.spark.sizes import MIB, heap_bytes, too_small
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.demand import Amounts
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.phases import Reason

_USUAL_DASHBOARD_PORT = 8080

_LOGGING = """
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
# Of a driver whose pages our head asks while they come up or go: no concern of the user's.
logger.api.name = org.glassfish.jersey.server.ServerRuntime$Responder
logger.api.level = off
logger.pages.name = org.sparkproject.jetty
logger.pages.level = error
"""

# Nothing is lost when a worker leaves: tasks end, then cached and shuffle blocks move to others. An
# external shuffle service would keep shuffle files on the worker, where no decommission moves them.
_DECOMMISSION = {
    "spark.decommission.enabled": "true",
    "spark.storage.decommission.enabled": "true",
    "spark.storage.decommission.shuffleBlocks.enabled": "true",
    "spark.storage.decommission.rddBlocks.enabled": "true",
    "spark.storage.decommission.replicationReattemptInterval": "1s",
    "spark.shuffle.service.enabled": "false",
}
_DOORS = {
    "spark.authenticate": "true",
    "spark.master.rest.enabled": "false",  # takes jobs from anybody
    "spark.ui.killEnabled": "false",
    "spark.master.ui.decommission.allow.mode": "DENY",
}
_ENCRYPTION = {
    "spark.network.crypto.enabled": "true",
    "spark.io.encryption.enabled": "true",
}


class Spark:
    """See ``infra.frameworks.base.Framework``."""

    name = "spark"
    package = "pyspark"
    python_parts = 2
    templates_from = ""
    connect = "SparkSession.builder.getOrCreate() without a master"
    history = pages.EVENT_LOGS
    on_pods = True
    no_distant_client = "Spark's executors connect to their program, which must be where they are"
    late_s = 0.0
    distinct_hosts = True

    def problems(self, python: str) -> list[Problem]:
        """PySpark missing from this Python, or no Java of 17 or newer."""
        found = []
        if not importlib.util.find_spec(self.package):
            summary = f"PySpark is not installed for {python}"
            hint = 'pip install "ebbtide[spark]"'
            found.append(Problem(Reason.FRAMEWORK_MISSING, summary, hint))
        java = java_problem(os.environ)
        return [*found, java] if java else found

    def found(self) -> str:
        """PySpark's and Java's version."""
        return f"pyspark {version('pyspark')}, Java {java_version(os.environ)}"

    def refusals(
        self, spec: ClusterSpec, job: JobSpec | None, python: str, environ: Mapping[str, str]
    ) -> list[Problem]:
        """Tiers too small for its heaps; another Python; what its files and variables break."""
        # That of this process has been asked by ``problems``, which takes a third of a second.
        same = all(environ.get(name) == os.environ.get(name) for name in GOVERN)
        java = None if same else java_problem(environ)
        return [
            *too_small(spec),
            *mismatch(job, self.package, python, python_parts=self.python_parts),
            *users.refusals(environ),
            *([java] if java else []),
        ]

    def too_small(self, spec: ClusterSpec) -> list[Problem]:
        """Tiers that cannot hold its heaps."""
        return too_small(spec)

    def foreign(self, environ: Iterable[str]) -> frozenset[str]:
        """None."""
        del environ
        return frozenset()

    def prepare(self, plan: ClusterPlan) -> tuple[SecretFile, ...]:
        """The configuration of every JVM, with its keys, and the secret of the front."""
        ours = {
            **_DECOMMISSION,
            **_DOORS,
            **(_ENCRYPTION if plan.paths.alone else {}),
            **_driver_settings(plan),
            **pages.settings(),
            **gpus.settings(plan.spec.tier, plan.paths.secrets),
            "spark.authenticate.secret": secrets.token_hex(32),
        }
        theirs = users.settings(plan.environ)
        settings = users.merged(_defaults(plan), theirs, ours)
        return (
            SecretFile(pages.CONFIGURATION, users.as_file(settings)),
            SecretFile("log4j2.properties", users.logging(plan.environ) or _LOGGING),
            SecretFile(SECRET_FILE, new_secret()),
            *gpus.files(plan.spec.tier),
        )

    def head(self, plan: ClusterPlan, at: MemberAddress) -> ProcessSpec:
        """The master, with our front on the usual port of its page when that is free."""
        settings = head_settings(plan, at, _USUAL_DASHBOARD_PORT)
        argv = _argv(plan.paths.python, "head", json.dumps(settings))
        return ProcessSpec(argv=argv, env=_environment(plan.paths, at))

    def address(self, host: str, port: int) -> str:
        """As its workers and its driver want it."""
        return f"spark://{host}:{port}"

    def worker(self, plan: ClusterPlan, name: str, at: MemberAddress) -> ProcessSpec:
        """One worker, with room for one executor."""
        tier = plan.spec.tier
        settings = {
            **worker_settings(plan, name, at),
            "cores": tier.threads,
            "memory_mib": heap_bytes(tier) // MIB,
        }
        argv = _argv(plan.paths.python, "worker", json.dumps(settings))
        return ProcessSpec(argv=argv, env=_environment(plan.paths, at))

    def pod_templates(self, cluster: ClusterId, image: str) -> PodTemplates:
        """None of its own."""
        del cluster, image
        return PodTemplates()

    def beside(self, plan: ClusterPlan, at: MemberAddress) -> None:
        """Nothing: a driver is reached where it listens."""

    def shared_memory_bytes(self, spec: ClusterSpec, role: str) -> int:
        """None is used."""
        del spec, role
        return 0

    def status(self, head: HeadInfo, hosts: Mapping[str, str]) -> FrameworkStatus | None:
        """Asked over HTTP; the master knows workers by their hosts."""
        found = ask_status(head)
        if found is None:
            return None
        known = {hosts[host]: worker for host, worker in found.workers.items() if host in hosts}
        return replace(found, workers=known)

    def offer(self, spec: ClusterSpec) -> Amounts:
        """One executor's slots and heap."""
        tier = spec.tier
        return {"CPU": tier.threads, "memory": heap_bytes(tier), **tier.gpu_offer}

    def driver_env(self, plan: ClusterPlan, at: MemberAddress, head: HeadInfo) -> dict[str, str]:
        """``SparkSession.builder.getOrCreate()`` connects: spark-submit reads ``MASTER``."""
        where, classpath = urlsplit(head.address), users.classpath(plan.environ)
        return {
            **({"SPARK_DIST_CLASSPATH": classpath} if classpath else {}),
            **_environment(plan.paths, at),
            "MASTER": head.address,
            "SPARK_MASTER_SERVICE_HOST": where.hostname or "",
            "SPARK_MASTER_SERVICE_PORT": str(where.port),
            "PYSPARK_PYTHON": plan.paths.python,
            "PYSPARK_DRIVER_PYTHON": plan.paths.python,
        }

    def client(self, address: str, environment: dict[str, str]) -> Any:
        """A ``SparkSession``."""
        return importlib.import_module("ebbtide.infra.frameworks.spark.client").connect(
            address, environment
        )

    def hello(self, python: str) -> tuple[str, ...]:
        """Estimates pi."""
        return _argv(python, "hello")

    def history_server(self, paths: MemberPaths, at: MemberAddress) -> ProcessSpec:
        """Spark's own history server, with our front before it."""
        settings = {
            "logs": str(paths.artifacts / self.history),
            "secrets": str(paths.secrets),
            "scratch": str(paths.scratch),
            "head_file": str(paths.head_file),
            "bind": at.bind,
            "host": at.host,
            "page_hosts": [at.host, *at.page_hosts],
        }
        return ProcessSpec(
            argv=_argv(paths.python, "history", json.dumps(settings)),
            env=_environment(paths, at),
        )


def _argv(python: str, module: str, *arguments: str) -> tuple[str, ...]:
    return (python, "-P", "-m", f"{__package__}.{module}", *arguments)


def _environment(paths: MemberPaths, at: MemberAddress) -> dict[str, str]:
    """For every JVM: where it listens, and nothing left in the machine's temporary folder."""
    return {
        "SPARK_HOME": str(paths.framework),
        "SPARK_CONF_DIR": str(paths.secrets),
        "SPARK_LOCAL_IP": at.bind,
        "SPARK_LOCAL_HOSTNAME": at.host,
        "SPARK_PUBLIC_DNS": at.host,  # by which the master leads to a driver's pages
        "SPARK_LOCAL_DIRS": str(paths.scratch / "spill"),
        "SPARK_LAUNCHER_OPTS": "-XX:-UsePerfData -XX:TieredStopAtLevel=1",
    }


def _for_tasks(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that an executor has from its application, as its worker does not pass them on.

    Spark sets OMP_NUM_THREADS for Python's tasks, to the cores of a task, unless its configuration
    names it. So it does on a laptop too, but Ray and Dask obey what the user has set, and so does
    this. The JVM's options are kept from the daemons: see ``jvm``.
    """
    names = ("OMP_NUM_THREADS", *OPTIONS)
    return {f"spark.executorEnv.{name}": environ[name] for name in names if environ.get(name)}


def _defaults(plan: ClusterPlan) -> dict[str, str]:
    """What the user's own settings win over."""
    return {
        **_for_tasks(plan.environ),
        # Kept for ``ebb open``; rolled, so that a long run's can be bounded by its oldest parts.
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": f"file://{plan.paths.artifacts}/{pages.EVENT_LOGS}",
        "spark.eventLog.rolling.enabled": "true",
        "spark.eventLog.rolling.maxFileSize": "16m",
        "spark.eventLog.compress": "true",
        # A barrier stage waits for a worker: ours come after seconds, a node after minutes.
        "spark.scheduler.barrier.maxConcurrentTasksCheck.interval": "5s",
        "spark.scheduler.barrier.maxConcurrentTasksCheck.maxFailures": "720",
        # When the program is a JVM's (spark-submit), threads that it has left do not keep it.
        "spark.submit.callSystemExitOnMainExit": "true",
    }


def _driver_settings(plan: ClusterPlan) -> dict[str, str]:
    spec = plan.spec
    java = f"-XX:-UsePerfData -Djava.io.tmpdir={plan.paths.scratch}"
    return {
        "spark.executor.cores": str(spec.tier.threads),
        "spark.executor.memory": f"{heap_bytes(spec.tier) // MIB}m",
        "spark.executor.extraJavaOptions": java,
        "spark.driver.memory": f"{heap_bytes(spec.head_tier) // MIB}m",
        "spark.driver.extraJavaOptions": java,
        "spark.ui.showConsoleProgress": "false",
        # What tells of a barrier stage that waits: see ``demand.applications``.
        "spark.driver.log.localDir": f"{plan.paths.scratch}/driver-log-${{env:EBB_RUN}}",
        # Every worker that comes is used by itself; who comes and goes is the autoscaler's affair.
        "spark.dynamicAllocation.enabled": "false",
    }
