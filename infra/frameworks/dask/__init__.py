"""Dask: one scheduler, one process a worker, drained by the worker's own stop path.

Belongs here: everything that knows Dask. ``framework`` writes command lines and reads answers and
does not import Dask; ``head`` and ``worker`` are run as processes of their own.
Does not belong here: where the processes live, and when workers are added or removed.
"""
