"""Pure rules that every platform needs: scaling, limits, lease expiry, queue, diagnosis, advice.

Belongs here: functions from values to a decision, with the reason for it.
Does not belong here: I/O, a clock, a process, a record; callers bring what they have seen and when.
"""
