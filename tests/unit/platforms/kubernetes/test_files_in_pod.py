"""The container ``files``: what it stays for, and when it goes."""

from __future__ import annotations

import threading
from pathlib import Path

from ebbtide.infra.frameworks.base import PodTemplates
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.platforms.kubernetes.clusters.blueprint import Blueprint
from ebbtide.infra.platforms.kubernetes.inside import ending
from ebbtide.infra.platforms.kubernetes.inside.files import leave_when_collected
from ebbtide.infra.platforms.kubernetes.kinds import Object
from tests.clusters import cluster_spec, run_spec

_EMPTY = PodTemplates()
JOB = JobSpec(argv=("true",), workdir="/")


def words_of_files(pod: Object) -> list[str]:
    (files,) = [each for each in pod["spec"]["containers"] if each["name"] == "files"]
    return list(files["args"])


def test_a_pod_ends_when_all_that_its_program_left_has_been_collected(tmp_path: Path) -> None:
    left = threading.Event()
    told = (tmp_path, left.set)
    threading.Thread(target=leave_when_collected, args=told, daemon=True).start()
    assert not left.wait(0.3)
    ending.write_collected(tmp_path)
    assert left.wait(5)


def test_only_programs_of_a_held_cluster_end_before_it() -> None:
    """Another program's end is its cluster's; the head's pod keeps the store and the tunnel."""
    pool = cluster_spec("dask").pool
    spec = run_spec("held", cluster_spec("dask", pool=pool))
    held = Blueprint.of(spec, ClusterId("held-1"), "team", "", templates=lambda *_: _EMPTY)
    assert "--leave" in words_of_files(held.program("one", JOB, ""))
    (head,) = [
        each
        for each in held.objects()
        if each["metadata"]["name"] == "held-1-head" and each["kind"] == "Pod"
    ]
    assert "--leave" not in words_of_files(head)
    assert "--tunnel" in words_of_files(head)
