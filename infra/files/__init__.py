"""Files and folders of ours: private ones, logs that go on for long, and what a run leaves.

Does not belong here: who writes them, and where; what belongs to one platform.
"""
