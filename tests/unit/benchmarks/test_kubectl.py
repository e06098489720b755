"""kubectl is called as somebody types it, where the run would go, and its failures are told."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from benchmarks import kubectl
from ebbtide.infra.platforms.kubernetes.client import Access
from ebbtide.infra.platforms.kubernetes.shipping.package import Package

WHERE = "--context work --namespace team"
SCRIPT = """#!/bin/sh
[ "$*" = "version --client" ] && echo "Client Version: v1.2.3" && exit
echo "$*" >> {log}
case "$*" in
*exec*) cat > {folder}/got ;;
*logs*) echo first; echo second; exec sleep 60 ;;
*missing*) echo "no such file" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def client(tmp_path: Path) -> kubectl.Kubectl:
    program = tmp_path / "kubectl"
    program.write_text(SCRIPT.format(log=tmp_path / "log", folder=tmp_path))
    program.chmod(0o700)
    return kubectl.Kubectl(program, Access(context="work", namespace="team"), 10.0)


def asked(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines()


def test_what_is_asked(client: kubectl.Kubectl, tmp_path: Path) -> None:
    assert kubectl.version(client.program) == "v1.2.3"
    client.apply(Path("plan.yaml"))
    client.wait("one-driver")
    with client.lines("one-driver", "driver") as lines:
        assert next(iter(lines)) == b"first\n"
    running = "--for=jsonpath={.status.phase}=Running --timeout=10s"
    assert asked(tmp_path) == [
        f"{WHERE} apply --server-side --force-conflicts --filename plan.yaml",
        f"{WHERE} wait {running} pod/one-driver",
        f"{WHERE} logs --follow one-driver --container driver",
    ]


@pytest.mark.parametrize("unpacked", [True, False])
def test_package_is_passed_on(client: kubectl.Kubectl, tmp_path: Path, unpacked: bool) -> None:
    content = b"package" * 99
    digest = hashlib.sha256(content).hexdigest()
    path = tmp_path / digest
    path.write_bytes(content)
    package = Package(path=path, digest=digest, bytes_=len(content), files=1, content_bytes=1)
    client.put("one-head", package, unpacked=unpacked)
    assert (tmp_path / "got").read_bytes() == content
    (words,) = asked(tmp_path)
    assert words.startswith(f"{WHERE} exec --stdin one-head --container files -- sh -c cat > ")
    assert words.endswith(f"{digest}.new /run/ebb/packages/{digest}")
    assert ("tar" in words) == unpacked


def test_failure_ends_the_benchmark_with_what_was_said(client: kubectl.Kubectl) -> None:
    with pytest.raises(SystemExit, match="kubectl apply failed: no such file"):
        client.apply(Path("missing.yaml"))


def test_what_is_named_or_on_the_path_is_used(
    client: kubectl.Kubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kubectl.find(str(client.program)) == client.program
    monkeypatch.setenv("PATH", str(client.program.parent), prepend=":")
    assert kubectl.find("") == client.program
    with pytest.raises(SystemExit, match="no nothing"):
        kubectl.find("nothing")
