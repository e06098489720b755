"""What every framework leaves to look at: a task's last words, whatever comes right after them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebbtide.infra.files.kept import KeptKind
from tests.clusters import script
from tests.contract.conftest import small
from tests.contract.rig import Rig

ENDS = "\nimport os\nos._exit(0)\n"
"""At once: no session is closed, so that the cluster is killed as it stands."""
PRINTS = {
    "dask": """
        from distributed import Client
        client = Client()
        client.gather(client.map(lambda item: print("last words", item), range(20)))
        """,
    "ray": """
        import ray
        ray.init(log_to_driver=False)
        ray.get([ray.remote(lambda item: print("last words", item)).remote(i) for i in range(20)])
        """,
    "spark": """
        from pyspark.sql import SparkSession
        context = SparkSession.builder.getOrCreate().sparkContext
        context.parallelize(range(20), 4).foreach(lambda item: print("last words", item))
        """,
}

TELLS = {"dask": "head/", "ray": "worker-0/", "spark": "driver/eventlog/"}
ON_PODS = {"ray": "driver/"}
"""What a worker's pod leaves is what it printed."""


def test_last_words_of_tasks_are_kept_and_so_is_what_the_framework_tells_of_them(
    each_framework: str, rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    program = script(tmp_path, PRINTS[each_framework])
    program.write_text(program.read_text() + ENDS)
    outcome = rig.carried_out(rig.run("kept", small(each_framework, 1), program))
    assert outcome.error is None, outcome.errors()
    platform, run = rig.platform, outcome.run.name
    kept = platform.kept(run)
    logs = [platform.logs(run, file.name)["text"] for file in kept if file.is_log]
    texts = [b"".join(log.pieces()) for log in logs]
    told = [file.name for file in kept if file.kind is KeptKind.ARTIFACT]
    tells = {**TELLS, **(ON_PODS if rig.name == "kubernetes" else {})}[each_framework]
    assert any(name.startswith(tells) for name in told), told
    words = {line for text in texts for line in text.splitlines() if b"last words" in line}
    assert len(words) == 20, [file.name for file in kept]
