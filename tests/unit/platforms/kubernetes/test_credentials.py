"""Plain credentials are read here as the official client reads them; all others are left to it."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.frameworks.certificates import new_certificate
from ebbtide.infra.platforms.kubernetes.client import Access, Connection
from ebbtide.infra.platforms.kubernetes.credentials import base
from ebbtide.infra.platforms.kubernetes.credentials.official import Official
from ebbtide.infra.platforms.kubernetes.credentials.plain import Plain, plain

Config = Callable[..., Path]


@pytest.fixture(scope="module")
def pems() -> tuple[str, str]:
    certificate, key = new_certificate("somebody")
    return certificate.content, key.content


@pytest.fixture
def config(tmp_path: Path, pems: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> Config:
    """Writes a kubeconfig beside a token, a certificate and its key."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, text in zip(("cert.pem", "key.pem"), pems, strict=True):
        (tmp_path / name).write_text(text)
    (tmp_path / "token").write_text("from-file")

    def written(user: dict[str, Any], **cluster: Any) -> Path:
        there = {"server": "https://there:6443/", "certificate-authority": "cert.pem", **cluster}
        found = {
            "current-context": "work",
            "clusters": [{"name": "there", "cluster": there}],
            "users": [{"name": "me", "user": user}],
            "contexts": [
                {"name": "work", "context": {"cluster": "there", "user": "me"}},
                {
                    "name": "other",
                    "context": {"cluster": "there", "user": "me", "namespace": "team"},
                },
            ],
        }
        file = tmp_path / "kubeconfig"
        file.write_text(json.dumps(found))
        return file

    return written


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("context", ["", "work", "other"])
@pytest.mark.parametrize(
    "user",
    [
        {"token": "said"},
        {"tokenFile": "token"},
        {"token": "said", "tokenFile": "token"},
        {"client-certificate": "cert.pem", "client-key": "key.pem"},
        {"client-certificate": "cert.pem", "client-key": "key.pem", "token": "said"},
    ],
)
def test_plain_credentials_are_those_of_the_official_client(
    config: Config, user: dict[str, Any], context: str
) -> None:
    file = str(config(user))
    mine, its = plain(file, context), Official(file, context)
    assert mine is not None
    assert (mine.server, mine.context, mine.namespace) == (its.server, its.context, its.namespace)
    assert mine.headers("GET", "/x") == its.headers("GET", "/x")
    assert mine.server == "https://there:6443"
    assert mine.identity != plain(str(config({"token": "another"})), context).identity  # type: ignore[union-attr]


def test_server_is_trusted_by_the_files_authority_alone(
    config: Config, pems: tuple[str, str], tmp_path: Path
) -> None:
    certificate, key = map(in_base64, pems)
    (tmp_path / "cert.pem").unlink()
    user = {"client-certificate-data": certificate, "client-key-data": key}
    found = plain(str(config(user, **{"certificate-authority-data": certificate})), "")
    assert found is not None
    tls: ssl.SSLContext = found.http.connection_pool_kw["ssl_context"]
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(tls.get_ca_certs(binary_form=True)) == 1


@pytest.mark.parametrize(
    ("user", "cluster"),
    [
        ({"exec": {"command": "x"}}, {}),
        ({"auth-provider": {"name": "oidc"}}, {}),
        ({"username": "me", "password": "x"}, {}),
        ({"token": "said", "as": "somebody"}, {}),
        ({"tokenFile": "missing"}, {}),
        ({"client-certificate": "cert.pem", "client-key": "token"}, {}),
        ({"token": "said"}, {"proxy-url": "http://proxy"}),
        ({"token": "said"}, {"insecure-skip-tls-verify": True}),
        ({"token": "said"}, {"tls-server-name": "other"}),
        ({"token": "said"}, {"certificate-authority": "missing"}),
        ({"token": "said"}, {"server": "http://there"}),
        ({"token": "said"}, {"server": None}),
    ],
)
def test_all_others_are_left_to_the_official_client(
    config: Config, user: dict[str, Any], cluster: dict[str, Any]
) -> None:
    assert plain(str(config(user, **cluster)), "") is None


def test_so_are_names_and_files_that_are_not_one(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(config({"token": "said"}))
    assert plain(file, "work") is not None
    assert plain(file, "nobody") is None
    assert plain(f"{file}:{file}", "") is None
    assert plain(str(tmp_path / "missing"), "") is None
    (tmp_path / "broken").write_text("{a: [}")
    assert plain(str(tmp_path / "broken"), "") is None
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    assert plain(file, "work") is None


def test_a_pods_own_account_is_left_to_it_also_where_there_is_a_file(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / ".kube"
    home.mkdir()
    config({"token": "said"}).rename(home / "config")
    (tmp_path / "cert.pem").rename(home / "cert.pem")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert plain("", "") is not None
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr(base, "NAMESPACE_FILE", str(tmp_path / "token"))
    assert plain("", "") is None
    assert plain(str(home / "config"), "") is not None


def test_connection_reads_others_through_the_official_client(config: Config) -> None:
    file = str(config({"username": "me", "password": "x"}))
    there = Connection(Access(kubeconfig=file, context="other"))
    assert there.access == Access(kubeconfig=file, context="other", namespace="team")
    assert isinstance(there._credentials, Official)
    plainly = Connection(Access(kubeconfig=str(config({"token": "said"}))))
    assert isinstance(plainly._credentials, Plain)
    assert plainly._credentials.headers("GET", "/") == {"authorization": "Bearer said"}


def test_what_is_wrong_is_said_as_by_the_official_client(config: Config) -> None:
    with pytest.raises(ConfigurationError, match="nobody") as refused:
        Connection(Access(kubeconfig=str(config({"token": "said"})), context="nobody"))
    assert "get-contexts" in refused.value.hint


def test_a_command_begins_without_the_official_client() -> None:
    code = (
        "import sys, ebbtide.flows.cli.runs.run, ebbtide.infra.platforms.kubernetes.platform\n"
        "print(*sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"kubernetes", "google", "requests"} & set(told.stdout.split())
