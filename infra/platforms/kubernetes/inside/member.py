"""Starts a member of a cluster that has the user's code: waits for that, then becomes it.

python -P -m ….inside.member SETTINGS COMMAND …

One whose Python or framework is not that of the head says so, and ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from ebbtide.infra.platforms.kubernetes.inside.begin.versions import Differs, check_pod
from ebbtide.infra.platforms.kubernetes.inside.packages import fetch
from ebbtide.infra.platforms.kubernetes.inside.storage.unpacking import PackageError
from ebbtide.infra.platforms.kubernetes.inside.told import code_settings


def main(settings: str, argv: list[str]) -> NoReturn:
    """Become ``argv``, with the user's code in place.

    Args:
        settings: ``CodeSettings`` as text.
        argv: the command line of the head or worker.
    """
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # it has nothing to move yet
    code = code_settings(settings)
    try:
        check_pod(code)
        fetch(code)
        os.makedirs(code.workdir, exist_ok=True)
        os.chdir(code.workdir)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.execvp(argv[0], argv)
    except Differs as error:
        Path(code.termination).write_text(json.dumps(error.data))
        sys.exit(f"it did not start: {error}")
    except (PackageError, OSError) as error:
        sys.exit(f"it did not start: {error}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
