"""What was asked for, what is, and what happened: the store of runs, clusters, events and samples.

``store`` is what every store can do, ``opening`` opens an installation's, ``runs`` is what a run's
beginning and end mean in any of them. ``ledger`` is this machine's store, ``sqlite`` its tables.

Belongs here: writing and reading records, a run's beginning and end, transactions.
Does not belong here: deciding anything from them (``infra.policy``), sums (``infra.accounting``).
"""
