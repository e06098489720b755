"""Ray's variables in a user's environment: what a cluster of ours must not get, or cannot read.

Does not belong here: what our own members are given (``ray.framework``).
"""
