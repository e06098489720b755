"""Which Ebb this is. Images have our code without a distribution, whose metadata would say it."""

from __future__ import annotations

VERSION = "0.1.0"
"""As in pyproject.toml; a test compares them."""
