"""Spark's programs on pods: its own examples as they are, and how programs end."""

from __future__ import annotations

import json
import shutil
import textwrap
from pathlib import Path

import pyspark
import pytest

from tests.contract.conftest import small
from tests.contract.rig import Rig

OWN = Path(pyspark.__file__).parent
PROGRAM = Path(__file__).parent / "programs" / "spark_examples.py"
LEAVES_A_THREAD = """
    from pyspark.sql import SparkSession
    context = SparkSession.builder.getOrCreate().sparkContext
    context._jvm.java.util.Timer(False)
    print("sum", context.parallelize([1, 2], 1).sum(), flush=True)
    """
"""And does not stop its session; the thread is one that keeps a JVM."""
PEOPLE = {
    "people.json": '{"name":"Michael"}\n{"name":"Andy", "age":30}\n{"name":"Justin", "age":19}\n',
    "people.txt": "Michael, 29\nAndy, 30\nJustin, 19\n",
}


@pytest.mark.long
def test_sparks_own_examples_run_unchanged_and_what_a_jvm_has_left_running_keeps_no_program(
    rig_of_module: Rig, tmp_path: Path
) -> None:
    shutil.copytree(OWN / "examples/src/main/python", tmp_path, dirs_exist_ok=True)
    shutil.copytree(OWN / "data", tmp_path / "data")
    people = tmp_path / "examples/src/main/resources"
    people.mkdir(parents=True)
    for name, text in PEOPLE.items():
        (people / name).write_text(text)
    (tmp_path / "words.txt").write_text("spark counts\nwords of spark\n")
    (tmp_path / "leaves_a_thread.py").write_text(textwrap.dedent(LEAVES_A_THREAD))
    program = Path(shutil.copy(PROGRAM, tmp_path))
    outcome = rig_of_module.carried_out(rig_of_module.run("examples", small("spark"), program))
    assert outcome.error is None, outcome.errors()
    told, total = outcome.output().splitlines()
    assert [name for name, right in json.loads(told).items() if not right] == []
    assert total == "sum 3"
