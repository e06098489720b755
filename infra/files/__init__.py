"""Files and folders of ours, whatever is in them: private ones, and logs that go on for long.

Does not belong here: what is kept in them; what belongs to one platform.
"""
