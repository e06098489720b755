"""The seven Prefect tasks, of which a flow that can be suspended does some in a way of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

from ebbtide.infra.lifecycle.provision import SevenSteps
from ebbtide.infra.models.phases import Step
from ebbtide.tasks import steps


def seven_steps(own: Mapping[Step, Callable[..., Any]]) -> SevenSteps:
    """The tasks of ``tasks.steps``, with ``own`` in place of those it names."""
    found = {step.value: own.get(step) or getattr(steps, step.value) for step in Step}
    return cast(SevenSteps, SimpleNamespace(**found))
