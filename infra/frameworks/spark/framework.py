"""Spark's command lines, configuration and answers. Does not import Spark: it costs seconds."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ebbtide.infra.errors import Problem
from ebbtide.infra.frameworks.base import FrameworkStatus, HeadInfo, ProcessSpec
from ebbtide.infra.frameworks.door import SECRET_FILE, new_secret
from ebbtide.infra.frameworks.heads import ask_status
from ebbtide.infra.frameworks.interpreters import mismatch
from ebbtide.infra.frameworks.plan import (
    ClusterPlan,
    MemberAddress,
    SecretFile,
    head_settings,
    worker_settings,
)
from ebbtide.infra.frameworks.spark import pages
from ebbtide.infra.frameworks.spark.sizes import MIB, heap_bytes, too_small
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.demand import Amounts
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.phases import Reason

_OLDEST_JAVA = 17
_USUAL_DASHBOARD_PORT = 8080
_JAVA_TIMEOUT_S = 20.0

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


class Spark:
    """See ``infra.frameworks.base.Framework``."""

    name = "spark"
    package = "pyspark"
    distinct_hosts = True

    def problems(self, python: str) -> list[Problem]:
        """PySpark missing from this Python, or no Java of 17 or newer."""
        found = []
        if not importlib.util.find_spec(self.package):
            summary = f"PySpark is not installed for {python}"
            hint = 'pip install "ebbtide[spark]"'
            found.append(Problem(Reason.FRAMEWORK_MISSING, summary, hint))
        java = java_version()
        if java is None or java < _OLDEST_JAVA:
            have = "there is no Java" if java is None else f"Java is {java}"
            summary = f"{have}; Spark needs {_OLDEST_JAVA} or newer"
            hint = "on Debian and Ubuntu: sudo apt install openjdk-17-jre-headless (or newer)"
            found.append(Problem(Reason.FRAMEWORK_MISSING, summary, hint))
        return found

    def found(self) -> str:
        """PySpark's and Java's version."""
        return f"pyspark {version('pyspark')}, Java {java_version()}"

    def refusals(
        self, spec: ClusterSpec, job: JobSpec | None, python: str, environ: Mapping[str, str]
    ) -> list[Problem]:
        """Tiers that are too small for Spark's heaps; a program with another Python."""
        del environ
        return [*too_small(spec), *mismatch(job, "pyspark", python, python_parts=2)]

    def prepare(self, plan: ClusterPlan) -> tuple[SecretFile, ...]:
        """The configuration of every JVM, with its keys, and the secret of the front."""
        settings = {
            **_DECOMMISSION,
            **_DOORS,
            **_driver_settings(plan),
            **pages.settings(),
            "spark.authenticate.secret": secrets.token_hex(32),
        }
        lines = "".join(f"{key} {value}\n" for key, value in settings.items())
        return (
            SecretFile(pages.CONFIGURATION, lines),
            SecretFile("log4j2.properties", _LOGGING),
            SecretFile(SECRET_FILE, new_secret()),
        )

    def head(self, plan: ClusterPlan, at: MemberAddress) -> ProcessSpec:
        """The master, with our front on the usual port of its page when that is free."""
        settings = head_settings(plan, at, _USUAL_DASHBOARD_PORT)
        argv = _argv(plan.paths.python, "head", json.dumps(settings))
        return ProcessSpec(argv=argv, env=_environment(plan, at))

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
        return ProcessSpec(argv=argv, env=_environment(plan, at))

    def status(self, head: HeadInfo, hosts: Mapping[str, str]) -> FrameworkStatus | None:
        """Asked over HTTP; the master knows workers by their hosts."""
        found = ask_status(head)
        if found is None:
            return None
        known = {hosts[host]: worker for host, worker in found.workers.items() if host in hosts}
        return replace(found, workers=known)

    def offer(self, spec: ClusterSpec) -> Amounts:
        """One executor's slots and heap."""
        return {"CPU": spec.tier.threads, "memory": heap_bytes(spec.tier)}

    def driver_env(self, plan: ClusterPlan, at: MemberAddress, head: HeadInfo) -> dict[str, str]:
        """``SparkSession.builder.getOrCreate()`` connects: spark-submit reads ``MASTER``."""
        where = urlsplit(head.address)
        return {
            **_environment(plan, at),
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


def _argv(python: str, module: str, *arguments: str) -> tuple[str, ...]:
    return (python, "-P", "-m", f"{__package__}.{module}", *arguments)


def java_version() -> int | None:
    """The major version of the Java that Spark would use; None when there is none."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if java is None:
        return None
    try:
        said = subprocess.run(
            [java, "-XX:-UsePerfData", "-version"],  # no hsperfdata_USER in a folder all share
            capture_output=True,
            text=True,
            timeout=_JAVA_TIMEOUT_S,
            check=True,
        ).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found[1]) if found else None


def _environment(plan: ClusterPlan, at: MemberAddress) -> dict[str, str]:
    """For every JVM: where it listens, and nothing left in the machine's temporary folder."""
    paths = plan.paths
    return {
        "SPARK_HOME": str(paths.framework),
        "SPARK_CONF_DIR": str(paths.secrets),
        "SPARK_LOCAL_IP": at.bind,
        "SPARK_LOCAL_HOSTNAME": at.host,
        "SPARK_LOCAL_DIRS": str(paths.scratch / "spill"),
        "SPARK_LAUNCHER_OPTS": "-XX:-UsePerfData -XX:TieredStopAtLevel=1",
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
        # Every worker that comes is used by itself; who comes and goes is the autoscaler's affair.
        "spark.dynamicAllocation.enabled": "false",
    }
