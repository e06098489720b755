"""The objects of a cluster as values that go to the API server as they are: pure.

Does not belong here: sending them, reading what became of them, the numbers that change while a
cluster lives (replicas, the HPA's floor), which another field manager owns.
"""
