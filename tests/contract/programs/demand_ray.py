"""Reserve, keep workers waiting, and want what no worker has: ``demand_ray.py``."""

from __future__ import annotations

from threading import Event

import ray
from ray.util.placement_group import placement_group, remove_placement_group


@ray.remote(num_cpus=1)  # type: ignore[untyped-decorator]
def sleep(seconds: float) -> None:
    Event().wait(seconds)


@ray.remote(num_cpus=1, num_gpus=1)  # type: ignore[untyped-decorator]
def train() -> None: ...


ray.init(log_to_driver=False)
group = placement_group([{"CPU": 1}] * 2)
ray.get(group.ready())
remove_placement_group(group)
print("waited", flush=True)
ray.get([sleep.remote(1.0) for _ in range(24)])
print("slept", flush=True)
ray.get(train.remote())
