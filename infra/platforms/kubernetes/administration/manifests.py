"""What ``ebb doctor --platform kubernetes --print`` prints, for ``kubectl apply -f -``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.platforms.kubernetes import kinds

_FOLDER = Path(kinds.__file__).parent / "deploy"
_FLOW = "flow"
"""The image with Ebb itself, built as those of the frameworks are."""
_IMAGE = f"image: ebb-{_FLOW}\n"


def manifests(part: str, pools: Iterable[NodePool]) -> str:
    """Write down a part of Ebb for a namespace, with the image that the catalog names.

    Args:
        part: the name of its file: reaper, flow.
        pools: of the catalog.

    Returns:
        YAML, with what to know about it.
    """
    images = (pool.image(_FLOW) for pool in pools if pool.platform == "kubernetes")
    return manifests_with(part, next(filter(None, images), f"ebb-{_FLOW}"))


def manifests_with(part: str, image: str) -> str:
    """Write down a part of Ebb with an image of one's own."""
    text = (_FOLDER / f"{part}.yaml").read_text()
    return text.replace(_IMAGE, f"image: {json.dumps(image)}\n")
