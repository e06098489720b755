"""``python -m tests.kubernetes.lab up|down|status``: what ``make lab`` calls."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from tests.kubernetes.lab import first_contact, namespace, product_images, resources, up
from tests.kubernetes.lab.place import every, find


def main(words: list[str]) -> int:
    """Do what is asked; 1 when it did not work, with the reason."""
    parser = argparse.ArgumentParser(prog="lab", description="A real Kubernetes for tests.")
    parser.add_argument("verb", choices=("up", "down", "status"))
    parser.add_argument("--name", default="lab", help="several labs stand side by side")
    parser.add_argument("--level", action="append", choices=up.LEVELS, help="default: both")
    parser.add_argument(
        "--image",
        action="append",
        choices=product_images.FRAMEWORKS,
        default=[],
        help="up: in the catalog beside those that are there anyway",
    )
    parser.add_argument("--seconds", type=float, default=3, help="status: measure for so long")
    asked = parser.parse_args(words)
    try:
        if asked.verb == "status":
            return _tell(asked.name, asked.seconds)
        if asked.verb == "down":
            return _down(asked.name)
        return _up(asked.name, tuple(asked.level or up.LEVELS), asked.image)
    except (RuntimeError, AssertionError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


def _up(name: str, levels: tuple[str, ...], images: Sequence[str]) -> int:
    began = time.monotonic()
    lab = up.up(name, levels, say)
    if "node" in levels:
        first_contact.prepare(lab, say, images)
    print("\n".join(up.status(lab)))
    say(f"up after {time.monotonic() - began:.0f} s")
    return 0


def _down(name: str) -> int:
    first_contact.forget(find(name))
    left = up.down(name)
    print("\n".join(left or [f"lab {name}: nothing is left"]))
    return 1 if left else 0


def _tell(name: str, seconds: float) -> int:
    """How every lab is, and what it takes."""
    for lab in every() or [find(name)]:
        print("\n".join(up.status(lab)))
        if namespace.alive(lab):
            share, memory = resources.core_share(lab, seconds), resources.memory_mib(lab)
            most = f"(idle: under {resources.MOST_MIB} MiB and {resources.MOST_SHARE:.0%})"
            print(f"  takes {memory:.0f} MiB, {share:.0%} of a core over {seconds:g} s {most}")
    return 0


def say(words: str) -> None:
    """Progress, for people."""
    print(f"lab: {words}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
