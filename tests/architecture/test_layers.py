"""The contracts of pyproject.toml hold, and what they cannot see (a package's own __init__)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.sources import PACKAGES, ROOT, modules

CONTRACTS = (ROOT / "pyproject.toml").read_text().count("[[tool.importlinter.contracts]]")


def test_every_import_contract_is_kept() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"\n{done.stdout}{done.stderr}"
    assert re.search(rf"\b{CONTRACTS} kept, 0 broken", done.stdout), done.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_of_the_house_is_a_package(package: str) -> None:
    assert (ROOT / package / "__init__.py").is_file(), "else no contract would look into it"


@pytest.mark.parametrize("heavy", ["prefect", "distributed", "kubernetes", "pynvml"])
def test_starting_the_command_line_does_not_import(heavy: str) -> None:
    # import-linter does not know that importing a.b runs a/__init__.py; this does.
    program = (
        f"import sys, ebbtide.__main__, ebbtide.flows.cli.main; sys.exit({heavy!r} in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"ebbtide.flows.cli.main imports {heavy}, or fails:\n{done.stderr}"


def test_who_says_that_it_imports_no_prefect_is_in_the_contract() -> None:
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = (each for each in tables["contracts"] if each["id"] == "no-prefect")
    held = contract["source_modules"]
    claims = [
        module.name
        for module in modules()
        if "mports no Prefect" in (ast.get_docstring(module.tree) or "")
    ]
    assert [name for name in claims if not any(f"{name}.".startswith(f"{h}.") for h in held)] == []
