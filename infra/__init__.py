"""The domain and the machines: what a cluster is, where it lives, how it grows, shrinks and goes.

Belongs here: values, policies, the ledger, frameworks, platforms, the supervisor and the reaper.
Does not belong here: Prefect (see ``tasks``), printing, command lines (see ``flows.cli``).
"""
