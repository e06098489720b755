"""The keys of ``ebb.yaml``, and what each says: one table for its reader, its schema and its pages.

Does not belong here: how a value is read (``pools``, ``tiers``), options of runs
(``infra.request.options``, which are the keys below ``run``).
"""

from __future__ import annotations

from collections.abc import Mapping

TOP = {
    "pools": "Node pools by name; this machine is one, local, where none is written down.",
    "tiers": "Hardware tiers by name: what one worker or head asks for.",
    "default-tier": "Tier of workers where a run names none; else small, or the first.",
    "default-head-tier": "Tier of heads where a run names none; else small, or the default tier.",
    "run": "Defaults of the options of ebb run; a variable and a flag win over them.",
    "keep": "What is kept of ended runs: an age, a number of runs, a size, or a list of them.",
    "kubernetes": "Which Kubernetes is meant, where neither a flag nor a variable says it.",
    "dask": "How Dask clusters are made on Kubernetes.",
}
"""Of the file itself."""

PLACE = {
    "context": "Context of the kubeconfig.",
    "namespace": "Namespace; else the context's own.",
}
"""Below ``kubernetes``."""

MODES = ("pods", "operator")
DASK = {"mode": "pods: by Ebb itself; operator: by Dask's operator, which must be installed."}
"""Below ``dask``."""

POOL = {
    "platform": "local (this machine) or kubernetes.",
    "cpu": "Cores of all of it together; this machine's, or those of all nodes.",
    "memory": "Memory of all of it together; 80 % of this machine's, or that of all nodes.",
    "runs-per-owner": "At most so many runs of one owner at once; others queue.",
    "runs-waiting": "At most so many runs may queue; the next one is refused.",
}
"""Of every pool."""

NODES = {
    "nodes": "How many nodes its autoscaler makes, from and to: 0..10; or always so many: 3.",
    "node-cpu": "Cores that one node offers to pods (allocatable).",
    "node-memory": "Memory that one node offers to pods (allocatable).",
    "gpus": "GPUs of all nodes together; else those of all nodes.",
    "node-gpus": "GPUs that one node offers.",
    "gpu-resource": "Extended resource by which pods ask for a GPU.",
    "gpu-label": "Label of nodes that says which GPUs they have.",
    "node-within": "A new node is ready within this time; later is said.",
    "pull-within": "An image is pulled within this time; later the run fails.",
    "spot": "Whether all its nodes may be taken away at short notice.",
    "spot-label": "Label with its value that tells its spot nodes from others.",
    "spot-taints": "Taints of its spot nodes, which only pods of spot tiers tolerate.",
    "spot-notice": "How long before a spot node is taken away that is said.",
    "label": "Label of nodes whose value says that they are of this pool.",
    "value": "Value of that label; else the pool's name.",
    "taints": "Taints of its nodes, which pods tolerate, as kubectl taint spells them.",
    "image": "Image of pods; {framework} stands for dask, ray, spark or none.",
    "images": "Image of pods by framework, before image.",
    "warm": "So many nodes are held free for runs (ebb doctor --platform kubernetes --print warm).",
}
"""Of pools of platform kubernetes, besides."""

TIER = {
    "cpu": "Cores of one worker, like 2, 0.5 or 500m.",
    "memory": "Memory of one worker, and its limit, like 4Gi.",
    "gpus": "GPUs of one worker.",
    "gpu-type": "Value of the nodes' GPU label (Kubernetes).",
    "pool": "Pool it is taken from; needed where there are several.",
    "price-per-hour": "What one worker costs an hour, in a currency of yours.",
    "frameworks": "Frameworks that may use it; else all.",
    "drain-budget": "How long a leaving worker may take to finish its running tasks.",
    "runs-at-once": "At most so many clusters with workers of it at once; others queue.",
    "priority": "PriorityClass of its pods (Kubernetes).",
    "spot": "Whether it is of the spot nodes of its pool (Kubernetes).",
}
"""Of tiers."""

TABLES: Mapping[str, Mapping[str, str]] = {
    "": TOP,
    "pools.NAME": {**POOL, **NODES},
    "tiers.NAME": TIER,
    "kubernetes": PLACE,
    "dask": DASK,
}
"""By where the keys stand; ``run`` has the options."""
