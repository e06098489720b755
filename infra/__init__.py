"""The domain and the machines: what a cluster is, where it lives, how it grows, shrinks and goes.

Belongs here: values, rules, records, frameworks, platforms, and what every run goes through.
Does not belong here: Prefect (see ``tasks``), printing, command lines (see ``flows.cli``).
"""
