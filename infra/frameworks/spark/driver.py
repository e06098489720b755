"""In the program: laptop spellings, which go past the cluster without a word.

``master("local[*]")`` and its likes, wherever they stand (the builder, a ``SparkConf``, the
arguments of ``spark-submit``, PYSPARK_SUBMIT_ARGS, SPARK_REMOTE), are noted, and with ``--bridge``
led to the run's cluster. A program that names none hears nothing.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from ebbtide.infra.frameworks.bootstrap import bridged, note, say
from ebbtide.infra.frameworks.plan import TaskModules, task_modules_of

if TYPE_CHECKING:
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

_HOST, _PORT = "SPARK_MASTER_SERVICE_HOST", "SPARK_MASTER_SERVICE_PORT"
"""What ``Spark.driver_env`` sets beside MASTER, which spark-submit changes to what it was told."""
_DAEMON = "spark.python.daemon.module"
_BEFORE_CONF = 6
"""Arguments of a context between its master and its configuration."""
_REMOTE = "spark.remote"
_REMOTE_VARIABLES = ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED")


def install() -> None:
    """Hear of each context and session that the program makes."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    for variable in ("SPARK_TESTING", "SPARK_SQL_TESTING"):
        os.environ.pop(variable, None)  # they switch off what our head asks
    if os.environ.get(_HOST):
        cluster = f"spark://{os.environ[_HOST]}:{os.environ.get(_PORT, '')}"
        _follow_contexts(SparkContext, cluster)
    _follow_remotes(SparkSession.Builder)


def _follow_contexts(context: type[SparkContext], cluster: str) -> None:
    original = context.__init__
    modules = task_modules_of(os.environ)

    @functools.wraps(original)
    def init(self: SparkContext, master: str | None = None, *rest: Any, **more: Any) -> None:
        asked = master or _master_of(more.get("conf"))
        if modules is not None and len(rest) <= _BEFORE_CONF and not more.get("jsc"):
            more["conf"] = with_modules(more.get("conf"), modules)
        original(self, cluster if bridged() else master, *rest, **more)
        if _is_connect_server():
            return
        # What spark-submit made of its arguments and settings.
        asked = asked or self._jvm.java.lang.System.getProperty("spark.master")
        if self.master != cluster:
            note("own-cluster", what=self.master)
        elif asked and asked != cluster:
            _say_led(f"the master {asked}")

    context.__init__ = init


def with_modules(conf: Any, modules: TaskModules) -> Any:
    """Let executors fetch the program's package before its first task there.

    Args:
        conf: of the context, or None.
        modules: the package.

    Returns:
        The configuration; one that names a daemon of its own keeps that.
    """
    from pyspark import SparkConf

    conf, ours = SparkConf() if conf is None else conf, f"{__package__}.tasks.daemon"
    if conf.get(_DAEMON, None) not in (None, ours):
        say(f"tasks do not find modules that lie beside this program: {_DAEMON} is its own")
        return conf
    conf.set(_DAEMON, ours)
    for name, value in modules.variables.items():
        conf.set(f"spark.executorEnv.{name}", value)
    return conf


def _master_of(conf: SparkConf | None) -> str | None:
    return None if conf is None else conf.get("spark.master", None)


def _is_connect_server() -> bool:
    """Whether this context is that of a server for a remote session, which has been noted."""
    return "SPARK_LOCAL_REMOTE" in os.environ


def _follow_remotes(builder: type[SparkSession.Builder]) -> None:
    original = builder.getOrCreate

    @functools.wraps(original)
    def get_or_create(self: SparkSession.Builder) -> SparkSession:
        remote = self._options.get(_REMOTE) or os.environ.get("SPARK_REMOTE")
        if remote and bridged():
            self._options.pop(_REMOTE, None)
            for variable in _REMOTE_VARIABLES:
                os.environ.pop(variable, None)
            _say_led(f"the remote {remote}")
        elif remote:
            note("own-cluster", what=f"remote {remote}")
        return original(self)

    builder.getOrCreate = get_or_create


def _say_led(asked: str) -> None:
    say(f"the program asks for {asked}; --bridge leads it to the cluster of this run")
