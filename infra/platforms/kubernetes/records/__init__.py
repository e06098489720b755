"""The records of runs on Kubernetes: ConfigMaps that outlive the Lease.

One says what a run is, and one, its story, what happened and was used.

``store`` is the whole, ``objects`` the compare-and-set that all writes go through, ``encoding``
what is in an object, ``bounds`` what keeps it small enough.

Belongs here: everything that ``infra.records.store`` asks for, and nothing that only one machine
can know.
Does not belong here: deciding anything from records, and the objects of a cluster.
"""
