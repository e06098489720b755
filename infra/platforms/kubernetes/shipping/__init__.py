"""From the user's folder to a cluster's pods, and what a program printed and wrote back from there.

Belongs here: what is packed and how it is sent (``package``, ``sending``), the program's command
line as it is in a pod (``program``), and reading what ``files`` has to give (``collecting``).
Does not belong here: what runs inside of pods (``inside``), when any of it is done.
"""
