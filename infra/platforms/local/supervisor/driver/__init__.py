"""What the supervisor puts around the user's program: the driver's hook, its notes, its stdin.

Does not belong here: the program's process itself (``program``, ``programs``), and what the hook
does inside of it (``infra.frameworks.bootstrap``).
"""
