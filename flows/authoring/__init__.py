"""What ``flows.jobs`` offers to a user's own flow: held clusters, programs on them, task groups.

Belongs here: what such a flow needs that ``run-job`` does not: identity within a flow run,
adoption, suspension, stopping what runs in threads.
Does not belong here: flows of ours; the job of a key in general (``infra.lifecycle.once``).
"""
