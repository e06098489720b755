"""What a pod brings to places of the user's: object stores and file systems that fsspec knows.

``storing`` is the wrapper's side, ``outputs`` a process of its own with the user's environment.
Only that imports fsspec, which the image must have, as the package of the URL's protocol.
Does not belong here: volumes, which the kubelet mounts.
"""
