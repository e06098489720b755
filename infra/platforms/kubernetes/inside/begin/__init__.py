"""How a program in a pod is told to begin, and is given what it reads.

Standard library only, as all of ``inside``. Does not belong here: what it prints (``stream``).
"""
