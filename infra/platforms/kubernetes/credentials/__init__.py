"""How this process shows an API server who it is: what a context of a kubeconfig says.

Belongs here: reading it. Does not belong here: requests (``client``).
"""
