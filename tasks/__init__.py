"""The seven steps as Prefect tasks, one a step, thin.

Belongs here: names, retries, and handing over to ``infra.lifecycle.steps``.
Does not belong here: what a step does, and anything that could run without Prefect.
"""
