"""From what was recorded to sentences for people: why, what to do, what a size would save.

Does not belong here: deciding anything (the modules beside this one), reading records, printing.
"""
