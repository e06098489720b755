"""Dask, Ray, Spark: how a head, a worker and a driver are started, asked and drained.

Belongs here: one folder a framework that fills in ``base.Framework``; siblings do not know each
other, and only a framework's own folder may import the framework.
Does not belong here: where processes live, their addresses, folders and interpreter
(``infra.platforms`` passes them, see ``plan``), when to scale (``infra.policy.scaling``).
"""
