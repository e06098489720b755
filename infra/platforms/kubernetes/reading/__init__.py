"""What the API server's objects say of a cluster: pure functions, and one watch that feeds them.

``snapshot`` is what is known at a moment, ``views`` makes the view that the steps wait for of it,
``waiting`` says why something is late and ``failures`` what became of a container. ``watching``
alone asks the server.
Does not belong here: making, changing or deleting anything, and records.
"""
