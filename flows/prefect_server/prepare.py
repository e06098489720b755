"""Set-up: ``python -m ebbtide.flows.prefect_server.prepare`` makes the database template."""

from __future__ import annotations

import os
import sys

from ebbtide.flows.prefect_server.template import ensure_template


def main() -> int:
    """Make the database template, and print where it is."""
    try:
        print(f"Prefect's database template is ready: {ensure_template(os.environ)}")
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
