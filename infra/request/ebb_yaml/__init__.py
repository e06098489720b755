"""Reading ``ebb.yaml``: the file itself, its pools, its tiers, and which Kubernetes it names.

Does not belong here: where the file is looked for, and what is made of it all (``catalog``).
"""
