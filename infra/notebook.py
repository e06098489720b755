"""A notebook as a program: ``python -m ebbtide.infra.notebook FILE [-p NAME=VALUE …]``.

Runs in the place of the user's program, with a kernel of the same Python: what the cells print is
its output, the executed notebook is kept in ``EBB_OUTPUT_DIR``, also when a cell has failed. Its
own packages (papermill, ipykernel) are the extra ``notebook``; nothing of Ebb is imported.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*m")
_KERNEL = "python3"
"""The kernel that comes with ipykernel: this Python. The one a notebook was saved with may be
another environment's."""
_LONGEST_FOLDER = 70
"""Of the path of a Unix socket, which has 107 bytes, so much is for its folder."""
_CONSTANTS = {"True": True, "False": False, "None": None}


def main(arguments: Sequence[str]) -> int:
    """Execute a notebook.

    Args:
        arguments: its path, then ``-p`` and ``NAME=VALUE``, as often as wanted.

    Returns:
        The exit code: 0, or 1 when a cell has failed, the kernel has died or there is none.
    """
    source, *rest = arguments
    try:
        papermill = importlib.import_module("papermill")
        importlib.import_module("ipykernel")
    except ImportError as error:
        print(f"{error}: a notebook needs ebbtide[notebook]", file=sys.stderr)
        return 1
    kept = Path(os.environ.get("EBB_OUTPUT_DIR", ".")) / Path(source).name
    place = "/tmp" if len(tempfile.gettempdir()) > _LONGEST_FOLDER else None
    with tempfile.TemporaryDirectory(prefix="ebb-", dir=place) as folder:
        signal.signal(signal.SIGTERM, partial(_end, folder))
        # It may not depend on a home that can be written to.
        os.environ |= {"JUPYTER_RUNTIME_DIR": folder, "IPYTHONDIR": folder}
        parameters = dict(map(parse_parameter, rest[1::2]))
        return _execute(papermill, source, kept, parameters, _private_sockets(Path(folder)))


def parse_parameter(text: str) -> tuple[str, Any]:
    """Take ``NAME=VALUE`` apart; a value that reads as a number or a constant of Python is one."""
    name, _, value = text.partition("=")
    if value in _CONSTANTS:
        return name, _CONSTANTS[value]
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value


def _execute(
    papermill: Any, source: str, kept: Path, parameters: dict[str, Any], config: Any
) -> int:
    try:
        papermill.execute_notebook(
            source,
            str(kept),
            parameters=parameters,
            kernel_name=_KERNEL,
            progress_bar=False,
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
            cwd=os.getcwd(),
            config=config,
        )
    except papermill.PapermillExecutionError as error:
        said = _TERMINAL_CODES.sub("", "\n".join(error.traceback))
        print(f"cell {error.exec_count} of {source} failed:\n{said}", file=sys.stderr)
        return 1
    except RuntimeError as error:  # nbclient's DeadKernelError and its like
        print(f"the kernel of {source} ended: {error}", file=sys.stderr)
        return 1
    return 0


def _end(folder: str, number: int, _frame: object) -> None:
    """End at once and leave nothing; whoever sends the signal ends the kernel as well."""
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(128 + number)


def _private_sockets(folder: Path) -> Any:
    """The kernel listens in a folder of this user alone.

    Whoever reached ports of loopback could see code and outputs; and without a connection file of
    its own the sockets would be in the working folder, where another notebook's are too.
    """
    kernel = {"transport": "ipc", "connection_file": str(folder / "kernel.json")}
    return importlib.import_module("traitlets.config").Config({"KernelManager": kernel})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
