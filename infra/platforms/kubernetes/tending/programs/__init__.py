"""Programs in their pods: told to begin, given what they read, and what they leave brought back.

Does not belong here: limits that end them (``tending.limits``), members of a cluster.
"""
