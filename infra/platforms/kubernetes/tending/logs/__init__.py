"""The logs of head and workers, kept to their end: of those that stay, leave, or are started again.

``member_logs`` knows when to read which, ``copy`` reads one over connections that may break, and
``position`` knows which lines of an answer are new.
Does not belong here: what the user's program prints (``tending.output``).
"""
