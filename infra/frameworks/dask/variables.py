"""Names of variables by which a program of a run knows its cluster. Standard library only."""

from __future__ import annotations

ADDRESS = "DASK_SCHEDULER_ADDRESS"
"""Where the scheduler is: ``distributed.Client()`` without arguments reads it."""
WORKERS = "EBB_CLUSTER_WORKERS"
"""How many workers the run may have: ``1..4``."""
