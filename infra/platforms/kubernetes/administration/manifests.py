"""What ``ebb doctor --platform kubernetes --print`` prints, for ``kubectl apply -f -``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import yaml

from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.platforms.extras import FlowOrder
from ebbtide.infra.platforms.kubernetes import kinds
from ebbtide.infra.platforms.kubernetes.administration.warm import WARM, placeholders
from ebbtide.infra.platforms.kubernetes.detached.job import ordered_job

_FOLDER = Path(kinds.__file__).parent / "deploy"
_FLOW = "flow"
"""The image with Ebb itself, built as those of the frameworks are."""
_IMAGE = f"image: ebb-{_FLOW}\n"


def manifests(part: str, pools: Iterable[NodePool]) -> str:
    """Write down a part of Ebb for a namespace, with the image that the catalog names.

    Args:
        part: the name of its file: reaper, flow; or warm, for the pools' warm nodes.
        pools: of the catalog.

    Returns:
        YAML, with what to know about it.

    Raises:
        ConfigurationError: CATALOG_INVALID, no pool is to have warm nodes.
    """
    if part == WARM:
        return placeholders(pools)
    return manifests_with(part, _image(_FLOW, pools))


def manifests_with(part: str, image: str) -> str:
    """Write down a part of Ebb with an image of one's own."""
    text = (_FOLDER / f"{part}.yaml").read_text()
    return text.replace(_IMAGE, f"image: {json.dumps(image)}\n")


def flow_job(order: FlowOrder, module: str, image: str, pools: Iterable[NodePool]) -> kinds.Object:
    """Write down the Job of a flow, as the pod of part ``flow`` is, for somebody else to make it.

    Args:
        order: the words that are filled in for each run.
        module: the program of the flow.
        image: as the catalog names it among its images.
        pools: of the catalog.

    Returns:
        The object.
    """
    everything = yaml.safe_load_all((_FOLDER / f"{_FLOW}.yaml").read_text())
    template = next(each for each in everything if each["kind"] == kinds.POD_TEMPLATE.name)
    job: kinds.Object = ordered_job(template, order, module)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container["image"] = _image(image, pools)
    return job


def _image(name: str, pools: Iterable[NodePool]) -> str:
    images = (pool.image(name) for pool in pools if pool.platform == "kubernetes")
    return next(filter(None, images), f"ebb-{name}")
