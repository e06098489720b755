"""The reaper of a Kubernetes namespace, a program for a pod: it needs nobody else of ours.

Belongs here: when it looks, and what it does about what it finds. Does not belong here: judging a
Lease, releasing a cluster (``infra.platforms.kubernetes``).
"""
