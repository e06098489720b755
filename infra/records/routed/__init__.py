"""The local store and another one, behind one protocol: each run is where it was reserved.

``place`` finds which, ``runs`` and ``clusters`` ask it, ``store`` is the whole.

Belongs here: which of the two is asked, and lists of both.
Does not belong here: how either keeps records; which other store there is (``records.opening``).
"""
