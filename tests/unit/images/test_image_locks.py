"""The images' locks are a part of requirements.lock; `make lock` writes both."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from ebbtide.infra.version import VERSION

ROOT = Path(__file__).parents[3]
LOCKS = ROOT / "infra" / "images"


def pins(path: Path) -> set[tuple[str, ...]]:
    """Every pin with its condition and its hashes."""
    lines = path.read_text().replace("\\\n", " ").splitlines()
    return {tuple(line.split()) for line in lines if "==" in line and not line.startswith("#")}


def hashes(pin: tuple[str, ...]) -> list[str]:
    return sorted(word for word in pin if word.startswith("--hash="))


def names(path: Path) -> set[str]:
    return {re.split(r"[\[=]", pin[0])[0] for pin in pins(path)}


@pytest.mark.parametrize("framework", ["dask", "ray", "spark", "none", "flow"])
def test_lock_of_an_image_pins_what_requirements_lock_pins(framework: str) -> None:
    everything = {(pin[0], *hashes(pin)) for pin in pins(ROOT / "requirements.lock")}
    part = {(pin[0], *hashes(pin)) for pin in pins(LOCKS / f"{framework}.lock")}
    assert part <= everything


@pytest.mark.parametrize("framework", ["dask", "ray", "spark"])
def test_lock_of_an_image_has_its_framework_and_not_prefect(framework: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"][framework]
    wanted = {re.split(r"[\[<>=!~ ]", requirement)[0] for requirement in extra}
    assert wanted <= names(LOCKS / f"{framework}.lock")
    assert "prefect" not in names(LOCKS / f"{framework}.lock")


def test_images_say_the_version_that_the_distribution_has() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION
