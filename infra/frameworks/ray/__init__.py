"""Ray: a head and workers as nodes of one Ray cluster, each with its own temporary folder.

Belongs here: all that knows Ray. ``framework`` writes command lines and reads answers, without
importing Ray; ``head`` and ``worker`` run in processes of their own.
Does not belong here: when to scale, who is asked to leave, processes of other frameworks.
"""
