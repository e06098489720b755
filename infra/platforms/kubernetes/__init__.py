"""Clusters as pods: what is made, for whom it is made, and how it is given back.

Built so far: the objects of a cluster (``manifests``) and where its members find things
(``layout``). Not yet: the verbs of ``infra.platforms.base``, so that the platform is not in the
registry.
Does not belong here: what a framework's members are told (``infra.frameworks``), nodes, which an
existing autoscaler brings.
"""
