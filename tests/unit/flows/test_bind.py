"""Where the server listens, and what is refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ebbtide.flows.prefect_server.bind import Bind
from ebbtide.flows.prefect_server.certificates import checked, names_of, own_name, trusted_by
from ebbtide.infra.errors import ConfigurationError


def bind(folder: Path, host: str, cert: str = "", key: str = "", *, tls: bool = False) -> Bind:
    return checked(host, cert, key, self_signed=tls, folder=folder)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_needs_no_tls(host: str, tmp_path: Path) -> None:
    assert bind(tmp_path, host).scheme == "http"


def test_host_that_others_reach_needs_tls(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="needs TLS"):
        bind(tmp_path, "0.0.0.0")


def test_certificate_made_here_is_private_for_this_machine_and_kept(tmp_path: Path) -> None:
    made = bind(tmp_path, "0.0.0.0", tls=True)
    assert made.scheme == "https"
    assert {"127.0.0.1", "localhost"} <= set(names_of(Path(made.certificate)))
    assert stat.S_IMODE(Path(made.key).stat().st_mode) == 0o600
    before = Path(made.certificate).read_bytes()
    assert bind(tmp_path, "0.0.0.0", tls=True) == made
    assert Path(made.certificate).read_bytes() == before
    assert own_name(made) == "127.0.0.1"
    assert trusted_by(made) == made.certificate


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        bind(tmp_path, "no.such.host.invalid", cert=str(tmp_path / "none.pem"))
    said = " ".join(problem.summary for problem in error.value.problems)
    assert "belong together" in said
    assert "cannot be read" in said
    assert "no.such.host.invalid" in said


def test_file_that_is_no_certificate_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.pem"
    file.write_text("hello")
    with pytest.raises(ConfigurationError, match="no certificate"):
        bind(tmp_path, "0.0.0.0", cert=str(file), key=str(file))
