"""This machine as a platform: real processes, a node pool of its cores and memory.

Belongs here: starting, finding and ending processes, shares of the machine, figures of process
trees, their output files. ``guard`` and ``marks`` use the standard library only.
Does not belong here: rules that another platform needs as well (``infra.policy``).
"""
