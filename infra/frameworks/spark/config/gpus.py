"""GPUs of a tier, as Spark's worker offers them and its executors ask for them.

A worker sees only its own (the platform sees to that), so that they are counted from 0 on each.
Spark asks a script which there are, or reads a file: nothing needs to be looked for here.
"""

from __future__ import annotations

import json
from pathlib import PurePath

from ebbtide.infra.frameworks.plan import SecretFile
from ebbtide.infra.models.hardware import HardwareTier

_FILE = "gpus.json"


def settings(tier: HardwareTier, secrets: PurePath) -> dict[str, str]:
    """Return what worker and executor are told; nothing where the tier has no GPU.

    How many a task takes is the program's to say (``spark.task.resource.gpu.amount``): where it
    says nothing, its tasks count none, and see those of their executor.

    Args:
        tier: of the workers.
        secrets: the folder with the file of ``files``, as the worker sees it.

    Returns:
        Settings of Spark: one executor takes all of a worker.
    """
    count = tier.resources.gpus
    if not count:
        return {}
    return {
        "spark.worker.resource.gpu.amount": str(count),
        "spark.worker.resourcesFile": str(secrets / _FILE),
        "spark.executor.resource.gpu.amount": str(count),
    }


def files(tier: HardwareTier) -> tuple[SecretFile, ...]:
    """Return the file that tells a worker its GPUs; none where the tier has no GPU."""
    count = tier.resources.gpus
    if not count:
        return ()
    named = {"componentName": "spark.worker", "resourceName": "gpu"}
    content = [{"id": named, "addresses": [str(number) for number in range(count)]}]
    return (SecretFile(_FILE, json.dumps(content)),)
