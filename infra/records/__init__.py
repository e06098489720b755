"""What was asked for, what is, and what happened: the store of runs, clusters, events and samples.

Belongs here: writing and reading records, a run's beginning and end, transactions.
Does not belong here: deciding anything from them (``infra.policy``), sums (``infra.accounting``).
"""
