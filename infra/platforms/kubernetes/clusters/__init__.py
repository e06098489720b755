"""One cluster's objects, made together, found by label, and given back in the order that was tried.

Does not belong here: what they look like (``manifests``), what becomes of them (``reading``), when
any of it is done (``platform``, ``tending``).
"""
