"""Which images of a pool its nodes have, as they say themselves.

Nobody asks a registry here: whether an image that no node has can be pulled shows its first pod.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ebbtide.infra.frameworks.base import known_frameworks
from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.platforms.extras import Finding
from ebbtide.infra.platforms.kubernetes.administration.asking import Asks, label_of
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.kinds import NODE, Object

_NODES = 100
"""So many are looked at; of a larger pool the rest is much the same."""
_TRY = "ebb run --platform kubernetes --framework FRAMEWORK true pulls one, or says why it cannot"


def seen_images(api: Asks, pool: NodePool) -> Finding:
    """Look whether the nodes of a pool have the images of its pods.

    Args:
        api: of the cluster.
        pool: of the catalog.

    Returns:
        The finding: well when one image at least was seen, so that nodes get them from there.
    """
    wanted = dict.fromkeys(filter(None, map(pool.image, known_frameworks())))
    try:
        query = {"labelSelector": label_of(pool), "limit": _NODES}
        nodes = api.ask(Request(path=NODE.path(""), query=query))["items"]
    except ApiError:
        detail = f"{pool.name}: {', '.join(wanted)}: not looked for, its nodes cannot be seen"
        return Finding("images", "warning", detail, "grant list on nodes by a ClusterRole")
    have = Counter(image for node in nodes for image in wanted if _has(node, image))
    unseen = [image for image in wanted if not have[image]]
    said = [f"{image} on {have[image]} of {len(nodes)} nodes" for image in wanted if have[image]]
    if unseen:
        said.append(f"not seen on any node yet: {', '.join(unseen)}")
    detail = f"{pool.name}: {'; '.join(said)}"
    return Finding("images", "ok", detail) if have else Finding("images", "warning", detail, _TRY)


def _has(node: Object, image: str) -> bool:
    """A node names at most fifty images, the largest first, and a new one after a minute or so."""
    listed = (node.get("status") or {}).get("images") or ()
    names: Iterable[str] = (name for each in listed for name in each.get("names") or ())
    return full_name(image) in map(full_name, names)


def full_name(image: str) -> str:
    """Write an image as a node does, such as ``docker.io/library/busybox:latest``."""
    first, slash, _ = image.partition("/")
    if not slash:
        image = f"docker.io/library/{image}"
    elif not ("." in first or ":" in first or first == "localhost"):
        image = f"docker.io/{image}"
    has_tag = ":" in image.rpartition("/")[2]  # as has a digest
    return image if has_tag else f"{image}:latest"
