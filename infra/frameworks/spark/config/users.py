"""What users may have left in Spark's files and variables: what passes, what is refused.

Life, address, size and membership of a cluster are ours, whatever is in there; all else, such as
``spark.sql.shuffle.partitions``, is the user's. Pure, but for reading the user's own files.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from ebbtide.infra.errors import Problem
from ebbtide.infra.frameworks.spark.config import java
from ebbtide.infra.models.phases import Reason

_OURS = (
    *("spark.master", "spark.remote", "spark.api.mode", "spark.submit.deployMode"),
    *("spark.driver.host", "spark.driver.bindAddress", "spark.driver.port", "spark.driver.memory"),
    *("spark.blockManager.port", "spark.driver.blockManager.port", "spark.driver.log.localDir"),
    *("spark.executor.instances", "spark.executor.cores", "spark.executor.memory"),
    *("spark.cores.max", "spark.deploy", "spark.worker", "spark.dynamicAllocation"),
    *("spark.decommission", "spark.storage.decommission", "spark.shuffle.service"),
    *("spark.authenticate", "spark.acls", "spark.ssl", "spark.ui"),
    *("spark.pyspark.python", "spark.pyspark.driver.python"),
)
"""Settings, and beginnings of names of settings, that no file and no variable may set."""
_JOINED = ("spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions")
"""JVM options of ours and of the user's stand side by side."""
_FLAGS = {
    "--deploy-mode": "spark.submit.deployMode",
    "--total-executor-cores": "spark.cores.max",
    "--num-executors": "spark.executor.instances",
    "--executor-cores": "spark.executor.cores",
    "--executor-memory": "spark.executor.memory",
}
"""How spark-submit calls some of them."""
_WITH_OPTIONS = (*java.OPTIONS, "SPARK_SUBMIT_OPTS")
_LINE = re.compile(r"((?:\\.|[^\s=:\\])+)(?:\s*[=:]\s*|\s+)(.*)", re.DOTALL)
_FILE = "spark-defaults.conf"
_MAX_BYTES = 2**20


class UnreadableError(ValueError):
    """A file of settings that Spark itself could not read; its text says what is wrong with it."""


def is_ours(name: str) -> bool:
    """Whether a setting says something about a cluster's life, address, size or members."""
    return any(name == ours or name.startswith(f"{ours}.") for ours in _OURS)


def folder(environ: Mapping[str, str]) -> Path | None:
    """The folder of the user's settings, as Spark would look for it; None for none."""
    named, home = environ.get("SPARK_CONF_DIR"), environ.get("SPARK_HOME")
    return Path(named) if named else Path(home) / "conf" if home else None


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """What passes of the user's own ``spark-defaults.conf``.

    Raises:
        UnreadableError: when it cannot be read, with the file and what is wrong.
    """
    place = folder(environ)
    if place is None or not (place / _FILE).exists():
        return {}
    try:
        text = (place / _FILE).read_bytes()[:_MAX_BYTES].decode()
    except (OSError, UnicodeError) as error:
        raise UnreadableError(f"{place / _FILE} cannot be read: {error}") from None
    found = dict(_lines(text, place / _FILE))
    return {name: value for name, value in found.items() if not is_ours(name)}


def logging(environ: Mapping[str, str]) -> str | None:
    """The user's own ``log4j2.properties``; None for none."""
    place = folder(environ)
    try:
        return None if place is None else (place / "log4j2.properties").read_text()
    except (OSError, UnicodeError):
        return None


def classpath(environ: Mapping[str, str]) -> str:
    """What a driver finds last on its class path: the user's other files, as ``hive-site.xml``."""
    place = folder(environ)
    own = [environ.get("SPARK_DIST_CLASSPATH", ""), str(place) if place else ""]
    return os.pathsep.join(filter(None, own))


def _lines(text: str, file: Path) -> Iterator[tuple[str, str]]:
    """Names and values of Java's properties format, with its comments and continued lines."""
    whole = re.sub(r"(?<!\\)((?:\\\\)*)\\\n[ \t]*", r"\1", text.replace("\r\n", "\n"))
    for line in map(str.lstrip, whole.split("\n")):
        if not line or line[0] in "#!":
            continue
        found = _LINE.fullmatch(line)
        if found is None or re.search(r"\\u(?![0-9a-fA-F]{4})", line):
            raise UnreadableError(f"{file} has a line that is no setting: {line.split()[0]}")
        yield _unescaped(found[1]), _unescaped(found[2].rstrip())


def _unescaped(text: str) -> str:
    known = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}

    def plain(found: re.Match[str]) -> str:
        return chr(int(found[1], 16)) if found[1] else known.get(found[2], found[2])

    return re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", plain, text)


def merged(
    defaults: Mapping[str, str], users: Mapping[str, str], ours: Mapping[str, str]
) -> dict[str, str]:
    """One cluster's settings.

    Args:
        defaults: which the user's win over.
        users: as they passed.
        ours: which win over all.

    Returns:
        All together; JVM options are joined.
    """
    found = {**defaults, **users, **ours}
    joined = {name: f"{ours[name]} {users[name]}" for name in _JOINED if name in {*users} & {*ours}}
    return {**found, **joined}


def as_file(settings: Mapping[str, str]) -> str:
    """The lines of a ``spark-defaults.conf``."""
    return "".join(f"{name} {_escaped(value)}\n" for name, value in settings.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def refusals(environ: Mapping[str, str]) -> list[Problem]:
    """What is in the user's files and variables that would govern the cluster, or break it."""
    problems = []
    try:
        settings(environ)
    except UnreadableError as error:
        hint = "mend the file, or let SPARK_CONF_DIR name another folder"
        problems.append(Problem(Reason.OPTION_INVALID, str(error), hint))
    for variable, setting in _set_by_variables(environ):
        summary = f"{variable} sets {setting}, which no cluster of a run takes from there"
        hint = f"take it out of {variable}; address, size and members of the cluster come from ebb"
        problems.append(Problem(Reason.OPTION_INVALID, summary, hint))
    if re.search(r"-Xmx|-XX:MaxHeapSize", environ.get("_JAVA_OPTIONS", "")):
        summary = "_JAVA_OPTIONS sets the largest heap, which would be that of every JVM"
        hint = "use JAVA_TOOL_OPTIONS, which Spark's own heaps win over; they follow the tiers"
        problems.append(Problem(Reason.OPTION_INVALID, summary, hint))
    return problems


def _set_by_variables(environ: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    for variable in _WITH_OPTIONS:
        for name in re.findall(r"-D(spark\.[\w.]+)", environ.get(variable, "")):
            if is_ours(name):
                yield variable, name
    variable = "PYSPARK_SUBMIT_ARGS"
    arguments = _split(environ.get(variable, ""))
    for word, following in pairwise([*arguments, ""]):
        flag, joined, value = word.partition("=")
        setting = (value if joined else following).partition("=")[0]
        # A master is another thing: it is told, or led to the cluster. See ``driver``.
        if flag in ("--conf", "-c") and is_ours(setting) and setting != "spark.master":
            yield variable, setting
        elif flag in _FLAGS:
            yield variable, f"{_FLAGS[flag]} ({flag})"
        elif flag == "--properties-file":
            yield variable, "all settings (--properties-file)"


def _split(arguments: str) -> list[str]:
    try:
        return shlex.split(arguments)
    except ValueError:  # PySpark says so itself
        return []
