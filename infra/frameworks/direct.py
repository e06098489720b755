"""HTTP to servers of our own clusters: never through a proxy, whatever the user's environment says.

Standard library only: it is run beside heads and workers.
"""

from __future__ import annotations

import urllib.request

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens a URL or a request without a proxy."""
