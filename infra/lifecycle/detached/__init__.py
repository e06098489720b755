"""The flow of a detached run, a program for a pod: what a flow process does, without Prefect.

Belongs here: driving one run from its beginning, or from where an earlier flow of it has got to.
Does not belong here: how the run came to this pod (``infra.platforms.kubernetes.detached``).
"""
