"""What runs inside of pods beside the user's program and a framework's own processes.

Belongs here: the container ``files`` (``files``, and ``receive``, ``stream`` and ``archive``, which
are run in it by exec), the program's wrapper (``program``), the launcher of workers (``member``).
Standard library only and quick to import: they run before anything else of a run does.
Does not belong here: anything that asks the API server, or runs where ebb itself does.
"""
