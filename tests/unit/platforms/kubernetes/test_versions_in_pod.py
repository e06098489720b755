"""Pods whose Python or framework is not that of their head: told before anything starts in them."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.frameworks.versions import Versions, own_versions
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.inside.told import CodeSettings, program_settings, to_text
from ebbtide.infra.platforms.kubernetes.inside.told import code_settings as code_settings_of
from ebbtide.infra.platforms.kubernetes.manifests.shipment import Shipment, code_settings
from ebbtide.infra.platforms.kubernetes.naming import head_name
from ebbtide.infra.version import VERSION
from tests.clusters import cluster_spec, run_spec
from tests.unit.platforms.kubernetes.here import Pod

PACKAGE = "pytest"
"""A distribution that is there."""
MINE = own_versions(PACKAGE)
CLUSTER = ClusterId("heron-1")
OLDER = Versions(MINE.python, "1.0")
CODE: dict[str, Any] = {
    **dict.fromkeys(("digest", "store", "secrets", "folder", "workdir"), ""),
    "wait_s": 1.0,
}
PROGRAM = {
    **dict.fromkeys(("run", "framework", "head_file", "log", "termination", "ready_bind"), ""),
    **dict.fromkeys(("bridge", "min_workers", "wait_s", "ready_port"), 0),
}


@contextmanager
def head(body: bytes, status: int = 200) -> Iterator[str]:
    """A store beside a head, which says this."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def says(versions: Versions) -> bytes:
    return json.dumps({"python": versions.python, "package": versions.package}).encode()


def like(pod: Pod, url: str, **more: Any) -> Any:
    code = {"framework": PACKAGE, "python_parts": 3, "head": url, "wait_s": 5}
    return pod.code(**code, termination=str(pod.termination), **more)


def told(pod: Pod) -> dict[str, str]:
    found: dict[str, str] = json.loads(pod.termination.read_text())
    return found


def test_worker_with_another_framework_does_not_start(pod: Pod) -> None:
    with head(says(OLDER)) as url:
        worker = pod.start("member", to_text(like(pod, url)), "echo", "started")
        out, err = worker.communicate(timeout=20)
    assert (out, worker.returncode) == (b"", 1)
    assert told(pod)["reason"] == Reason.VERSIONS_DIFFER
    assert told(pod)["telling"] == (
        f"its image has {MINE.named(PACKAGE)}, that of the head {OLDER.named(PACKAGE)}"
    )
    assert "one image" in told(pod)["hint"]
    assert "did not start" in err.decode()


def test_worker_with_the_same_starts(pod: Pod) -> None:
    with head(says(MINE)) as url:
        worker = pod.start("member", to_text(like(pod, url)), "echo", "started")
        assert worker.communicate(timeout=20)[0] == b"started\n"
    assert not pod.termination.exists()


def test_image_of_another_ebb_than_submits_is_named_before_anything_of_the_head_is_asked(
    pod: Pod,
) -> None:
    wrapper = pod.program("echo", "started", code=pod.code(ebb="7.0.0"))
    assert wrapper.communicate(timeout=20)[0] == b""
    assert told(pod)["reason"] == Reason.VERSIONS_DIFFER
    assert told(pod)["telling"] == f"its image has Ebb {VERSION}, what submits it is Ebb 7.0.0"
    assert "build the images" in told(pod)["hint"]


def test_settings_of_a_later_ebb_are_read_as_far_as_they_are_known() -> None:
    later = {**json.loads(to_text(CodeSettings(**CODE))), "ebb": "7.0.0", "unheard_of": 1}
    assert code_settings_of(json.dumps(later)).ebb == "7.0.0"
    program = {"code": later, "unheard_of": 1, **PROGRAM}
    assert program_settings(json.dumps(program)).code.ebb == "7.0.0"


def test_head_of_an_older_image_that_cannot_say_is_not_held_against_it(pod: Pod) -> None:
    with head(b"", 404) as url:
        worker = pod.start("member", to_text(like(pod, url)), "echo", "started")
        assert worker.communicate(timeout=20)[0] == b"started\n"


def test_program_in_another_image_than_the_heads_is_not_started(pod: Pod) -> None:
    with head(says(Versions(MINE.python, ""))) as url:
        wrapper = pod.program("echo", "started", code=like(pod, url))
        out, _ = wrapper.communicate(timeout=20)
    assert out == b""
    assert wrapper.returncode == 126
    assert told(pod)["reason"] == Reason.VERSIONS_DIFFER
    assert told(pod)["telling"].endswith(f"that of the head Python {MINE.python} without pytest")
    assert told(pod)["not_started"] == told(pod)["telling"]


def test_program_that_names_another_python_is_not_started(pod: Pod) -> None:
    other = pod.folder / "python3"
    other.write_text("#!/bin/sh\necho 3.9.2 1.0\n")
    other.chmod(0o755)
    with head(says(MINE)) as url:
        wrapper = pod.program(str(other), "x.py", code=like(pod, url))
        assert wrapper.communicate(timeout=20)[0] == b""
    assert told(pod)["telling"] == (
        f"{other} in the image is Python 3.9.2 with pytest 1.0, the cluster has"
        f" {MINE.named(PACKAGE)}"
    )
    assert "without an interpreter" in told(pod)["hint"]


def test_program_with_this_python_by_another_name_is_started(pod: Pod) -> None:
    name = Path(sys.executable).with_name("python3")
    with head(says(MINE)) as url:
        wrapper = pod.program(str(name), "-c", "print('started')", code=like(pod, url))
        assert wrapper.communicate(timeout=20)[0] == b"started\n"


def test_store_says_what_its_own_image_has(pod: Pod) -> None:
    places = ("--packages", str(layout.PACKAGES), "--secrets", str(layout.DOOR))
    process = pod.start("files", "--bind", "127.0.0.1", "--port", "0", *places)
    assert process.stdout is not None
    url = f"http://{process.stdout.readline().split()[-1].decode()}"
    code = like(pod, url)
    worker = pod.start("member", to_text(code), "echo", "started")
    assert worker.communicate(timeout=20)[0] == b"started\n"


@pytest.mark.parametrize(
    ("framework", "package", "parts"),
    [("dask", "distributed", 2), ("ray", "ray", 3), ("spark", "pyspark", 2)],
)
def test_pods_of_a_cluster_are_told_what_to_compare_and_a_plain_program_nothing(
    framework: str, package: str, parts: int
) -> None:
    found = code_settings(run_spec("heron", cluster_spec(framework)), CLUSTER, Shipment())
    assert (found.framework, found.python_parts, found.ebb) == (package, parts, VERSION)
    assert found.head == f"http://{head_name(CLUSTER)}:{layout.PACKAGE_PORT}"
    assert found.store == found.head
    plain = code_settings(run_spec("heron", cluster_spec("none")), CLUSTER, Shipment())
    assert (plain.framework, plain.head) == ("", "")
    assert plain.store == f"http://127.0.0.1:{layout.PACKAGE_PORT}"
