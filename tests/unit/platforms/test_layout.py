"""Where members of a local cluster find things and listen on this machine."""

from __future__ import annotations

import ipaddress
import stat
from pathlib import Path

from ebbtide.infra.frameworks.plan import SecretFile
from ebbtide.infra.platforms.local.layout import HEAD, Layout, worker_address

MANY = (0, 1, 249, 250, 251, 62499, 62500, 62501, 70000)


def test_workers_that_need_a_host_each_have_one_on_loopback() -> None:
    hosts = [worker_address(number, distinct=True).host for number in MANY]
    assert hosts[0] == "127.1.0.1"
    assert len({*hosts, HEAD.host}) == len(MANY) + 1
    assert all(ipaddress.ip_address(host).is_loopback for host in hosts)


def test_other_workers_are_where_the_head_is() -> None:
    assert {worker_address(number, distinct=False).host for number in MANY} == {HEAD.host}


def test_secrets_are_their_owners_and_written_once(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.put_secrets([SecretFile("key", "first"), SecretFile("crt", "public")])
    layout.put_secrets([SecretFile("key", "second")])
    found = {path.name: path.read_text() for path in layout.secrets.iterdir()}
    assert found == {"key": "first", "crt": "public"}
    modes = {stat.S_IMODE(path.stat().st_mode) for path in layout.secrets.iterdir()}
    assert (modes, stat.S_IMODE(layout.secrets.stat().st_mode)) == ({0o600}, 0o700)


def test_half_written_secrets_of_a_process_that_died_are_written_anew(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    draft = tmp_path / "secrets.draft"
    draft.mkdir()
    (draft / "old").touch()
    layout.put_secrets([SecretFile("key", "new")])
    assert [path.name for path in layout.secrets.iterdir()] == ["key"]
    assert not draft.exists()
