"""What a process does for a cluster on Kubernetes for as long as it renews its Lease.

It tells what happens, copies the program's output, keeps the HPA's floor up, judges limits, keeps
the cluster's book and brings back what is left before the release. Nothing here is needed for the
cluster to live, or to be given back: the Lease and the reaper see to that.
Does not belong here: what an object means (``reading``), rules (``infra.policy``).
"""
