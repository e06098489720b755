"""What `ebb run` understands of a line."""

from __future__ import annotations

from ebbtide.flows.cli.parsing.run_line import RunArguments, arguments_of
from ebbtide.flows.cli.runs.run import main


def run_arguments(*words: str) -> RunArguments:
    """Parse what was typed after ``ebb run``."""
    with main.make_context("run", list(words)) as ctx:
        return arguments_of(ctx)
