"""What of ours runs in the Python processes of Spark's tasks, before Spark's own.

Does not belong here: the worker that starts executors (``worker``).
"""
