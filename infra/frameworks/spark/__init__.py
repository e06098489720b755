"""Spark, standalone: its master and workers from the wheel, a driver that connects by itself.

Belongs here: all that knows Spark. ``framework`` writes command lines and configuration and reads
answers, without importing Spark; ``head`` and ``worker`` run in processes of their own.
Does not belong here: when to scale, who is asked to leave, processes of other frameworks.
"""
