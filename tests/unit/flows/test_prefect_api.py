"""Whose settings hold for a Prefect server, and what is never shown of them."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ebbtide.flows.prefect_server.api import (
    Api,
    auth_file,
    named,
    own_auth_string,
    refused_credentials,
)
from ebbtide.infra.models.phases import Reason

URL = "https://prefect.example/api"


def test_no_server_is_named_without_a_url() -> None:
    assert named({"PREFECT_API_KEY": "x"}) is None


@pytest.mark.parametrize(
    ("environ", "header"),
    [
        ({}, ""),
        ({"PREFECT_API_KEY": "pnu_1"}, "Bearer pnu_1"),
        ({"PREFECT_API_AUTH_STRING": "admin:pass"}, "Basic YWRtaW46cGFzcw=="),
        ({"PREFECT_API_AUTH_STRING": "a:b", "PREFECT_API_KEY": "k"}, "Basic YTpi"),
    ],
)
def test_credentials_are_those_of_prefects_client(
    environ: dict[str, str], header: str, tmp_path: Path
) -> None:
    found = named({"PREFECT_API_URL": URL, "PREFECT_HOME": str(tmp_path), **environ})
    assert found is not None
    assert found.authorization == header


def test_active_profile_fills_in_what_the_environment_leaves_out(tmp_path: Path) -> None:
    profile = 'active = "mine"\n[profiles.mine]\nPREFECT_API_KEY = "from-profile"\n'
    (tmp_path / "profiles.toml").write_text(profile)
    found = named({"PREFECT_API_URL": URL, "PREFECT_HOME": str(tmp_path)})
    assert found is not None
    assert found.authorization == "Bearer from-profile"


def test_secret_is_in_no_repr() -> None:
    assert "secret" not in repr(Api(URL, "Basic secret", headers={"x": "secret"}))


def test_secret_of_a_home_is_made_once_and_private(tmp_path: Path) -> None:
    (tmp_path / "prefect").mkdir()
    first = own_auth_string(tmp_path)
    assert own_auth_string(tmp_path) == first
    assert len(first) > 40
    assert stat.S_IMODE(auth_file(tmp_path).stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["PREFECT_API_AUTH_STRING", "PREFECT_API_KEY"])
def test_refusal_names_the_variable_that_is_wrong(name: str) -> None:
    error = refused_credentials(URL, 401, {name: "wrong"})
    assert error.reason is Reason.PREFECT_REFUSES
    assert name in error.problems[0].summary
    assert "wrong" not in str(error.problems)


def test_refusal_names_the_variables_that_are_missing() -> None:
    error = refused_credentials(URL, 401, {})
    assert "PREFECT_API_AUTH_STRING" in error.problems[0].hint
