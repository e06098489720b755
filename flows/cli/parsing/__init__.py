"""How command lines are taken apart, with click: what commands declare themselves by.

Belongs here: classes of commands and options, mistakes as problems, what may be completed.
Does not belong here: any command, what an option of a run means (``infra.request``).
"""
