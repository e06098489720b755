"""How a program in a pod is told to begin, is given what it reads, and what is there before it.

Standard library only, as all of ``inside``. Does not belong here: what it prints (``stream``).
"""
