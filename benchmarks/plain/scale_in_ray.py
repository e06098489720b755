"""Ray's own way on one machine: a node is removed while it works. ``scale_in_ray.py LOG TASKS``."""

import json
import sys
import time

import ray
from ray.cluster_utils import Cluster

from tests.helpers import wait_until
from tests.load import started, starts

log, tasks = sys.argv[1], int(sys.argv[2])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
nodes = [cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20) for _ in range(3)]
ray.init(address=cluster.address, log_to_driver=False)
make = ray.remote(lambda item: bytes([item]) * 500_000)
stored = [make.remote(item) for item in range(12)]
ray.wait(stored, num_returns=12, fetch_local=False)
pairs = [ray.remote(started).remote(log, item, 0.4) for item in range(tasks)]
wait_until(lambda: starts(log), 60, "tasks run")
told = time.monotonic()
for node in nodes[:2]:
    cluster.remove_node(node, allow_graceful=True)
seconds = time.monotonic() - told
right = [len(result) for result in ray.get(pairs)] == [1000] * tasks
kept = 0
for reference in stored:
    try:
        kept += len(ray.get(reference, timeout=30)) == 500_000
    except ray.exceptions.RayError:
        continue
print(json.dumps({"kept": f"{kept} of 12", "right": right, "seconds": seconds}))
ray.shutdown()
cluster.shutdown()
