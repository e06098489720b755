"""Whether this pod has the Python and framework of its head, and the Ebb of who submits it.

Asked before anything starts in it.

All pods of a cluster name one image, and yet may have two: a tag that was moved is another image on
a node that pulls it later. And a program may name a Python of its own. The package store beside the
head, from the head's image, says what that has.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from ebbtide.infra.frameworks.direct import DIRECT
from ebbtide.infra.frameworks.door import basic, read_secret
from ebbtide.infra.frameworks.versions import Versions, is_python, own_versions, versions_of
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.inside.told import CodeSettings
from ebbtide.infra.version import VERSION
from ebbtide.infra.waiting import wait_until

PATH = "/versions/"
"""Before the name of a distribution, in the store's URLs."""
_ANSWER_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.5
_IMAGE_HINT = (
    "all pods of a run need one image: give it a tag that is never moved, or name it by its digest"
    " (images of the pool in ebb.yaml)"
)
EBB_HINT = (
    "build the images with the Ebb that submits (infra/images of its release), or install the Ebb"
    " that the images have"
)
_PROGRAM_HINT = (
    "give ebb the program without an interpreter (ebb run PROGRAM.py), or install the same in it"
)


class Differs(Exception):
    """This pod, or the program's Python in it, cannot be of the cluster; says so for people."""

    def __init__(self, telling: str, hint: str):
        super().__init__(telling)
        self.telling, self.hint = telling, hint

    @property
    def data(self) -> dict[str, str]:
        """For the termination message of its container."""
        reason = Reason.VERSIONS_DIFFER.value
        return {"reason": reason, "telling": self.telling, "hint": self.hint}


def check_pod(code: CodeSettings) -> None:
    """Compare this pod's Ebb with that of who submits it, and its interpreter with the head's.

    Nothing is said for equal ones.

    Raises:
        Differs: they cannot be of one cluster.
    """
    if code.ebb not in ("", VERSION):
        raise Differs(f"its image has Ebb {VERSION}, what submits it is Ebb {code.ebb}", EBB_HINT)
    head = _head_versions(code) if code.framework else None
    if head is None:
        return
    mine = own_versions(code.framework)
    if not mine.fits(head, code.python_parts):
        has = f"its image has {mine.named(code.framework)}"
        raise Differs(f"{has}, that of the head {head.named(code.framework)}", _IMAGE_HINT)


def check_program(code: CodeSettings, word: str, environ: Mapping[str, str]) -> None:
    """Compare the Python that a program names with that of its pod, where it is another one.

    Args:
        code: what the pod was told.
        word: the first of the program's command line.
        environ: the program's environment.

    Raises:
        Differs: what it sends to workers would not be read there.
    """
    found = shutil.which(word, path=environ.get("PATH")) if is_python(word) else None
    if not code.framework or found is None or _is_this(Path(found)):
        return
    theirs, mine = versions_of(found, code.framework, environ), own_versions(code.framework)
    if theirs is not None and not theirs.fits(mine, code.python_parts):
        is_ = f"{word} in the image is {theirs.named(code.framework)}"
        raise Differs(f"{is_}, the cluster has {mine.named(code.framework)}", _PROGRAM_HINT)


def answer(path: str) -> bytes | None:
    """What the store says at a path: the versions that its image has; None for another path.

    A reader of another version of Ebb takes from it what it knows.
    """
    package = urllib.parse.unquote(path.removeprefix(PATH))
    if not path.startswith(PATH) or not package.isidentifier():
        return None
    mine = own_versions(package)
    told = {"python": mine.python, "package": mine.package, "ebb": VERSION}
    return json.dumps(told).encode()


def read_answer(body: bytes) -> tuple[Versions, str] | None:
    """Read what ``answer`` wrote: the versions, and that of Ebb, empty where an older one wrote it.

    None for what it cannot have written.
    """
    try:
        found = json.loads(body)
        return Versions(found["python"], found["package"]), str(found.get("ebb", ""))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _head_versions(code: CodeSettings) -> Versions | None:
    """None when it cannot say, as a store of an older image."""
    found: Versions | None = None

    def asked() -> bool:
        nonlocal found
        request = urllib.request.Request(f"{code.head}{PATH}{code.framework}")
        try:
            request.add_header("Authorization", basic(read_secret(Path(code.secrets))))
            with DIRECT.open(request, timeout=_ANSWER_S) as told:
                read = read_answer(told.read())
                found = read[0] if read is not None else None
        except urllib.error.HTTPError:
            return True
        except OSError:  # not there yet, or its name is not known yet
            return False
        return True

    wait_until(asked, timeout_s=code.wait_s, first_s=_FIRST_PAUSE_S, longest_s=_LONGEST_PAUSE_S)
    return found


def _is_this(python: Path) -> bool:
    """One interpreter has several names in its folder."""
    mine = Path(sys.executable)
    same_folder = python.absolute().parent == mine.absolute().parent
    return same_folder and os.path.realpath(python) == os.path.realpath(mine)
