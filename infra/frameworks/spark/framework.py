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
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ebbtide.infra.errors import Problem
from ebbtide.infra.files.private import write_whole
from ebbtide.infra.frameworks.base import (
    ClusterPlan,
    FrameworkStatus,
    HeadInfo,
    ProcessSpec,
)
from ebbtide.infra.frameworks.door import write_secret
from ebbtide.infra.frameworks.heads import ask_status, published
from ebbtide.infra.frameworks.interpreters import mismatch
from ebbtide.infra.frameworks.spark import pages
from ebbtide.infra.frameworks.spark.sizes import MIB, heap_bytes, too_small, worker_host
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.phases import Reason

_HERE = Path(__file__).parent
_OLDEST_JAVA = 17
_USUAL_DASHBOARD_PORT = 8080
_HEAD_TIMEOUT_S = 120.0
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

    def problems(self) -> list[Problem]:
        """PySpark missing from this Python, or no Java of 17 or newer."""
        found = []
        if not importlib.util.find_spec("pyspark"):
            summary = f"PySpark is not installed for {sys.executable}"
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

    def refusals(self, spec: ClusterSpec, job: JobSpec | None) -> list[Problem]:
        """Tiers that are too small for Spark's heaps; a program with another Python."""
        return [*too_small(spec), *mismatch(job, "pyspark", python_parts=2)]

    def prepare(self, plan: ClusterPlan) -> None:
        """The secrets and the configuration that master, workers and driver share."""
        write_secret(plan.folder)
        conf = plan.folder / "conf"
        if (conf / "spark-defaults.conf").exists():
            return
        conf.mkdir(mode=0o700, exist_ok=True)
        for name in ("spill", "tmp"):
            (plan.folder / name).mkdir(exist_ok=True)
        (conf / "log4j2.properties").write_text(_LOGGING)
        settings = {
            **_DECOMMISSION,
            **_DOORS,
            **_driver_settings(plan),
            **pages.settings(),
            "spark.authenticate.secret": secrets.token_hex(32),
        }
        lines = "".join(f"{key} {value}\n" for key, value in settings.items())
        write_whole(conf / "spark-defaults.conf", lines)

    def head(self, plan: ClusterPlan) -> ProcessSpec:
        """The master, with our front on the usual port of its page when that is free."""
        settings = {"folder": str(plan.folder), "front_port": _USUAL_DASHBOARD_PORT}
        argv = (sys.executable, "-P", "-m", f"{__package__}.head", json.dumps(settings))
        return ProcessSpec(argv=argv, env=_environment(plan, "127.0.0.1"))

    def worker(self, plan: ClusterPlan, name: str) -> ProcessSpec:
        """One worker, with room for one executor."""
        tier = plan.spec.tier
        settings = {
            "folder": str(plan.folder),
            "name": name,
            "host": worker_host(name),
            "cores": tier.threads,
            "memory_mib": heap_bytes(tier) // MIB,
            "drain_budget_s": tier.drain_budget_s,
            "head_timeout_s": _HEAD_TIMEOUT_S,
            "import_path": os.pathsep.join(plan.import_path),
        }
        argv = (sys.executable, "-P", "-m", f"{__package__}.worker", json.dumps(settings))
        return ProcessSpec(argv=argv, env=_environment(plan, worker_host(name)))

    def find_head(self, plan: ClusterPlan) -> HeadInfo | None:
        """What the head wrote once the master had answered."""
        return published(plan.folder)

    def status(self, head: HeadInfo) -> FrameworkStatus | None:
        """Asked over HTTP on loopback."""
        return ask_status(head)

    def driver_env(self, plan: ClusterPlan, head: HeadInfo) -> dict[str, str]:
        """``SparkSession.builder.getOrCreate()`` reads the first of these."""
        where = urlsplit(head.address)
        return {
            **_environment(plan, "127.0.0.1"),
            "SPARK_CONF_DIR": str(plan.folder / "driver"),
            "SPARK_MASTER_SERVICE_HOST": where.hostname or "",
            "SPARK_MASTER_SERVICE_PORT": str(where.port),
            "PYSPARK_PYTHON": sys.executable,
            "PYSPARK_DRIVER_PYTHON": sys.executable,
        }

    def client(self, address: str, environment: dict[str, str]) -> Any:
        """A ``SparkSession``."""
        return importlib.import_module("ebbtide.infra.frameworks.spark.client").connect(
            address, environment
        )

    def hello(self) -> tuple[str, ...]:
        """Estimates pi."""
        return (sys.executable, str(_HERE / "hello.py"))


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


def _environment(plan: ClusterPlan, host: str) -> dict[str, str]:
    """For every JVM: where it listens, and nothing left in the machine's temporary folder."""
    spec = importlib.util.find_spec("pyspark")
    home = str(Path(spec.origin).parent) if spec and spec.origin else ""
    return {
        "SPARK_HOME": home,
        "SPARK_CONF_DIR": str(plan.folder / "conf"),
        "SPARK_LOCAL_IP": host,
        "SPARK_LOCAL_DIRS": str(plan.folder / "spill"),
        "SPARK_LAUNCHER_OPTS": "-XX:-UsePerfData -XX:TieredStopAtLevel=1",
    }


def _driver_settings(plan: ClusterPlan) -> dict[str, str]:
    spec = plan.spec
    java = f"-XX:-UsePerfData -Djava.io.tmpdir={plan.folder / 'tmp'}"
    return {
        "spark.executor.cores": str(spec.tier.threads),
        "spark.executor.memory": f"{heap_bytes(spec.tier) // MIB}m",
        "spark.executor.extraJavaOptions": java,
        "spark.driver.memory": f"{heap_bytes(spec.head_tier) // MIB}m",
        "spark.driver.extraJavaOptions": java,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.showConsoleProgress": "false",
        # Every worker that comes is used by itself; who comes and goes is the autoscaler's affair.
        "spark.dynamicAllocation.enabled": "false",
    }
