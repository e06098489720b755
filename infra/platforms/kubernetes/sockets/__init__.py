"""Commands and ports of pods, over web sockets of the API server.

Belongs here: what is sent and read over one. Does not belong here: who asks (``credentials``), and
what is asked for (``client``).
"""
