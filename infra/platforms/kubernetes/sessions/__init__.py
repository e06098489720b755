"""How a Python session or a browser that is no member of a cluster uses it.

Belongs here: how a framework's client in this process comes to a head in a pod, from outside
through the API server (``tunnel``), from a pod directly; and how a person comes to its ``pages``.
Does not belong here: programs, which run in pods of their own (``tending.programs``).
"""
