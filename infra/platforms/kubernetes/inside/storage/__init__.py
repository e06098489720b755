"""What a pod brings to, or fetches from, object stores and file systems that fsspec knows.

``storing`` and ``fetching`` are asked, ``outputs`` and ``archives`` processes of their own with the
user's environment: only they import fsspec, which the image must have, as the protocol's package.
All code, whoever brings it, goes through ``unpacking``.
Does not belong here: volumes, which the kubelet mounts.
"""
