"""Whether the user's program can be started at all, and with which command line.

A typing slip should cost a second, not a cluster: what would fail at once is refused before
anything is made. Nothing of the program is executed or imported here. Does not belong here:
whether the program is any good, and starting it.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from ebbtide.infra.errors import Problem
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.request.hints import did_you_mean
from ebbtide.infra.request.program.notebook import (
    SUFFIX,
    check_notebook,
    command_line,
    is_notebook,
    missing_here,
)

_PYTHON = re.compile(r"python(\d+(\.\d+)?)?")
_CODING = re.compile(rb"\A(?:[ \t\f]*(?:#.*)?\r?\n)?[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_NOT_SOURCE = (".pyz", ".pyzw", ".pyc", ".zip", ".egg", ".whl")
_COMPILE = "import sys; compile(open(sys.argv[1], 'rb').read(), 'x', 'exec', dont_inherit=True)"


def check_program(
    argv: Sequence[str], workdir: Path, *, search_path: str | None = None
) -> tuple[tuple[str, ...], list[Problem]]:
    """Find the command line of the user's program, and what would keep it from starting.

    Args:
        argv: a ``.py`` file, a notebook or a command, with its arguments; paths are relative to the
            workdir.
        workdir: the folder the program will run in.
        search_path: where commands are looked for; None: this process's PATH.

    Returns:
        The command line to execute, and the problems; none when it can be started.
    """
    if not argv:
        return (), [_problem("there is no program to run", "ebb run -- python train.py")]
    if problems := check_workdir(workdir):
        return tuple(argv), problems
    path = os.environ.get("PATH", os.defpath) if search_path is None else search_path
    if argv[0].endswith(".py"):
        problems = _check_script(argv[0], workdir, interpreter=sys.executable)
        return (sys.executable, *argv), problems
    if is_notebook(argv):
        problems = [*_check_there_as_notebook(argv, workdir), *missing_here()]
        return command_line(sys.executable, argv), problems
    program, problems = _find_command(argv[0], workdir, path)
    if not problems and _PYTHON.fullmatch(os.path.basename(argv[0])):
        script = _script_of(argv[1:])
        problems = _check_script(script, workdir, interpreter=program) if script else []
    return (program, *argv[1:]), problems


def check_shipped(argv: Sequence[str], workdir: Path) -> tuple[tuple[str, ...], list[Problem]]:
    """The same for a program that runs in an image, from a copy of the workdir.

    Interpreter and commands are the image's, so only what is shipped can be looked at.

    Args:
        argv: as for ``check_program``.
        workdir: the folder of which a copy is made.

    Returns:
        The command line, with Python's bare name before a script, and the problems.
    """
    if not argv:
        return (), [_problem("there is no program to run", "ebb run -- python train.py")]
    if problems := check_workdir(workdir):
        return tuple(argv), problems
    if argv[0].endswith(".py"):
        return ("python", *argv), _check_inside(argv[0], workdir) or _check_there(argv[0], workdir)
    if is_notebook(argv):
        problems = _check_inside(argv[0], workdir) or _check_there_as_notebook(argv, workdir)
        return command_line("python", argv), problems
    if _PYTHON.fullmatch(os.path.basename(argv[0])):
        script = _script_of(argv[1:])
        if script is None:
            return tuple(argv), []
        return tuple(argv), _check_inside(script, workdir) or _check_there(script, workdir)
    inside = not _check_inside(argv[0], workdir)
    if os.sep in argv[0] and (inside or not os.path.isabs(argv[0])):
        problems = _check_inside(argv[0], workdir)
        return tuple(argv), problems or _check_executable(argv[0], workdir / argv[0])
    return tuple(argv), []


def check_elsewhere(argv: Sequence[str]) -> tuple[str, ...]:
    """Return the command line of a program whose code is not here, so that nothing can be checked.

    Args:
        argv: as for ``check_program``.

    Returns:
        The same, with Python's bare name before a script.
    """
    if is_notebook(argv):
        return command_line("python", argv)
    return ("python", *argv) if argv and argv[0].endswith(".py") else tuple(argv)


def check_workdir(workdir: Path) -> list[Problem]:
    """Return what is wrong with the folder that a program is to run in."""
    if os.path.isdir(workdir):
        if os.access(workdir, os.X_OK):
            return []
        return [_problem(f"the workdir {workdir} may not be entered", f"ls -ld {workdir}")]
    if os.path.exists(workdir):
        return [_problem(f"the workdir {workdir} is not a folder", "name the folder it is in")]
    return [_missing(workdir.name, workdir, what=f"the workdir {workdir}")]


def folder_of(argv: tuple[str, ...]) -> str | None:
    """Return a script's own folder, when its path is absolute."""
    scripts = [Path(word) for word in argv[:2] if word.endswith((".py", SUFFIX))]
    return str(scripts[0].parent) if scripts and scripts[0].is_absolute() else None


def _problem(summary: str, hint: str = "") -> Problem:
    return Problem(Reason.PROGRAM_INVALID, summary, hint)


def _missing(word: str, path: Path, *, what: str) -> Problem:
    """It is not there; the hint names the nearest in the folder it should be in."""
    folder = path.parent
    if not os.path.isdir(folder):
        return _problem(f"{what} does not exist", f"there is no folder {folder} either")
    prefix = word[: len(word) - len(path.name)]
    otherwise = f"looked in {folder}"
    near = did_you_mean(path.name, _listed(folder), prefix=prefix, otherwise=otherwise)
    return _problem(f"{what} does not exist", near)


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _find_command(word: str, workdir: Path, path: str) -> tuple[str, list[Problem]]:
    """The command's absolute file, as the shell would find it from the workdir."""
    if os.sep in word:
        return word, _check_executable(word, workdir / word)
    if found := shutil.which(word, path=path):
        return os.path.abspath(found), []
    if word in ("python", "python3"):
        return sys.executable, []
    return word, [_not_found(word, workdir, path)]


def _check_executable(word: str, file: Path) -> list[Problem]:
    if os.path.isdir(file):
        return [_problem(f"{word} is a folder, not a program", "name a file in it")]
    if not os.path.exists(file):
        return [_missing(word, file, what=word)]
    if not os.access(file, os.X_OK):
        return [_problem(f"{word} is not executable", f"chmod +x {word}")]
    return []


def _not_found(word: str, workdir: Path, path: str) -> Problem:
    summary = f"the command {word} was not found on PATH"
    if os.path.isdir(workdir / word):
        return _problem(f"{word} is a folder, not a program", "name a .py file in it")
    if os.path.exists(workdir / word):
        return _problem(summary, f"write ./{word} for the file in the workdir")
    scripts = [name for name in _listed(workdir) if name.endswith(".py")]
    commands = {name for folder in path.split(os.pathsep) for name in _listed(Path(folder))}
    otherwise = "write a .py file or a command, like: ebb run -- python train.py"
    return _problem(summary, did_you_mean(word, [*scripts, *commands], otherwise=otherwise))


def _script_of(arguments: Sequence[str]) -> str | None:
    """The script among Python's arguments; None for ``-c``, ``-m`` and standard input."""
    rest = iter(arguments)
    for word in rest:
        if not word.startswith("-"):
            return word
        if word.startswith("--"):
            if word == "--check-hash-based-pycs":
                next(rest, None)
            continue
        if word == "-" or _takes_the_rest(word, rest):
            return None
    return None


def _takes_the_rest(flags: str, rest: Iterator[str]) -> bool:
    """Whether ``-c`` or ``-m`` is among the letters; skips the argument of ``-W`` and ``-X``."""
    for position, letter in enumerate(flags[1:], start=2):
        if letter in "cm":
            return True
        if letter in "WX":
            if position == len(flags):
                next(rest, None)
            return False
    return False


def _check_script(word: str, workdir: Path, *, interpreter: str) -> list[Problem]:
    file = workdir / word
    try:
        mode = file.stat().st_mode
        if stat.S_ISDIR(mode):
            return _check_package(word, file)
        if not stat.S_ISREG(mode):
            return []  # a pipe can be read only once, and that is the program's to do
        source = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return [_missing(word, file, what=word)]
    except (OSError, ValueError) as error:
        return [_problem(f"{word!r} cannot be read: {getattr(error, 'strerror', '') or error}")]
    if word.endswith(_NOT_SOURCE) or source.startswith(b"PK"):
        return []
    return _check_encoding(word, source) or _check_syntax(word, workdir, source, interpreter)


def _check_inside(word: str, workdir: Path) -> list[Problem]:
    """Whether a file is in the folder that is shipped; what a link leads to is not."""
    whole = Path(os.path.realpath(workdir))
    file = Path(os.path.realpath(workdir / word))
    if file.is_relative_to(whole):
        return []
    summary = f"{word} is outside of the workdir {workdir}, which is all that is shipped"
    hint = f"--workdir {file.parent}, or an image that has it"
    return [_problem(summary, hint)]


def _check_there(word: str, workdir: Path) -> list[Problem]:
    file = workdir / word
    if file.is_dir():
        return _check_package(word, file)
    if not file.exists():
        return [_missing(word, file, what=word)]
    if not os.access(file, os.R_OK):
        return [_problem(f"{word!r} cannot be read", f"ls -l {word}")]
    return []


def _check_there_as_notebook(argv: Sequence[str], workdir: Path) -> list[Problem]:
    return _check_there(argv[0], workdir) or check_notebook(argv, workdir)


def _check_package(word: str, folder: Path) -> list[Problem]:
    """Python runs a folder only by the ``__main__.py`` in it."""
    if os.path.exists(folder / "__main__.py"):
        return []
    return [_problem(f"{word} is a folder, not a program", "name a .py file in it")]


def _check_encoding(word: str, source: bytes) -> list[Problem]:
    """Whether it can be decoded as its coding line says (PEP 263), or as UTF-8 without one."""
    named = _CODING.match(source)
    encoding = named[1].decode("ascii", "replace") if named else "UTF-8"
    try:
        source.decode(encoding)
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        hint = "save it as UTF-8, or name its encoding in the first line: # coding: latin-1"
        return [_problem(f"{word} is not {encoding} (byte {error.start}, line {line})", hint)]
    except (LookupError, ValueError):
        pass  # the compiler says it itself of an unknown encoding
    return []


def _check_syntax(word: str, workdir: Path, source: bytes, interpreter: str) -> list[Problem]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, word, "exec", dont_inherit=True)
    except SyntaxError as error:
        if _accepted_by(interpreter, word, workdir):
            return []
        return [_syntax_problem(word, error, source)]
    except ValueError as error:
        return [_problem(f"{word} is not a Python program: {error}", f"file {word}")]
    except (RecursionError, MemoryError):
        pass  # too deep for this compiler's stack; the program's own run will tell
    return []


def _accepted_by(interpreter: str, word: str, workdir: Path) -> bool:
    """Whether another Python, which may be newer than ours, can compile what ours cannot."""
    if os.path.realpath(interpreter) == os.path.realpath(sys.executable):
        return False
    command = [interpreter, "-I", "-W", "ignore", "-c", _COMPILE, word]
    try:
        asked = subprocess.run(command, cwd=workdir, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return asked.returncode == 0


def _syntax_problem(word: str, error: SyntaxError, source: bytes) -> Problem:
    if error.lineno is None:
        return _problem(f"{word} is not a Python program: {error.msg}")
    place = f"line {error.lineno}" + (f", column {error.offset}" if error.offset else "")
    lines = source.decode("utf-8", "replace").splitlines()
    text = (error.text or "".join(lines[error.lineno - 1 : error.lineno])).strip()
    hint = f"look at: {text}" if text else ""
    return _problem(f"{word} has a syntax error at {place}: {error.msg}", hint)
