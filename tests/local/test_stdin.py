"""What is typed or piped into ``ebb run`` is the program's, and nothing more than it reads."""

from __future__ import annotations

import errno
import hashlib
import os
import pty
import re
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebbtide.infra.records.ledger import Ledger
from tests.clusters import script
from tests.helpers import wait_until
from tests.stack.prefect import EBB

RUN = [*EBB, "run", "--framework", "none", "program.py"]
DIGEST = """
    import hashlib, sys
    data = sys.stdin.buffer.read()
    print(len(data), hashlib.sha256(data).hexdigest())
    """
ASKS = 'print("got", input("name? "))'


@pytest.fixture(autouse=True)
def place(ebb_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EBB_PREFECT_SERVER", "off")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def digest(data: bytes) -> bytes:
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}\n".encode()


def test_a_pipe_arrives_whole_byte_for_byte(place: Path) -> None:
    data = os.urandom(2**20) * 50
    script(place, DIGEST)
    done = subprocess.run(RUN, input=data, capture_output=True, check=True)
    assert done.stdout == digest(data)


def test_a_file_arrives_from_where_it_stands(place: Path) -> None:
    (place / "data").write_bytes(b"before\n\x00\xffafter")
    script(place, DIGEST)
    with (place / "data").open("rb") as file:
        os.lseek(file.fileno(), len("before\n"), os.SEEK_SET)
        done = subprocess.run(RUN, stdin=file, capture_output=True, check=True)
    assert done.stdout == digest(b"\x00\xffafter")


def test_a_program_that_reads_nothing_takes_nothing_from_a_loop_around_it(place: Path) -> None:
    script(place, "print('ran')")
    loop = f"while read x; do {' '.join(RUN)} 2>/dev/null; echo $x; done"
    done = subprocess.run(["sh", "-c", loop], input=b"1\n2\n", capture_output=True, check=True)
    assert done.stdout == b"ran\n1\nran\n2\n"


def test_a_program_that_ends_early_is_not_waited_for(place: Path) -> None:
    """Whoever writes into the pipe goes on without a reader, as with any program."""
    script(place, ASKS)
    endless = subprocess.Popen(["yes"], stdout=subprocess.PIPE)
    done = subprocess.run(RUN, stdin=endless.stdout, capture_output=True, check=True)
    assert endless.stdout is not None
    endless.stdout.close()
    assert endless.wait(timeout=60) != 0
    assert done.stdout == b"name? got y\n"


def test_a_detached_program_reads_nothing_and_its_end_is_explained(
    place: Path, ebb_home: Path
) -> None:
    script(place, ASKS)
    command = [*RUN[:2], "--detach", "--name", "away", *RUN[2:]]
    subprocess.run(command, input=b"hi\n", capture_output=True, check=True)
    ledger = Ledger(ebb_home)

    def over() -> bool:
        row = ledger.run("away")  # type: ignore[arg-type]
        return row is not None and row.over and not ledger.living_clusters("away")  # type: ignore[arg-type]

    wait_until(over, 60, "the run has ended")
    ledger.close()
    said = subprocess.run([*EBB, "why", "away"], capture_output=True, text=True, check=True)
    assert re.search(r"fix +it read stdin, which only `ebb run` without --detach", said.stdout)


class Terminal:
    """``ebb run`` as a person's shell starts it: in the foreground of a terminal."""

    def __init__(self) -> None:
        self.pid, self._ours = pty.fork()
        if self.pid == 0:
            os.execvp(RUN[0], RUN)
        self._screen = b""

    def shows(self, words: bytes) -> None:
        """Wait for these words after those that were waited for before."""

        def shown() -> bool:
            if select.select([self._ours], [], [], 0)[0]:
                try:
                    self._screen += os.read(self._ours, 65536)
                except OSError as error:
                    if error.errno != errno.EIO:  # it has gone
                        raise
            return words in self._screen

        wait_until(shown, 60, f"the screen shows {words!r}")
        self._screen = self._screen.partition(words)[2]

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def code(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        os.close(self._ours)
        return os.waitstatus_to_exitcode(status)


@pytest.fixture
def terminal(place: Path) -> Iterator[Terminal]:
    text = """
        import sys
        answer = 41
        breakpoint()
        print("got", input("name? "))
        print("rest", repr(sys.stdin.read()))
        """
    script(place, text)
    made = Terminal()
    yield made
    assert made.code() == 0


def test_a_debugger_prompts_and_answers_in_a_terminal(terminal: Terminal) -> None:
    """Between them Ctrl-C asks a question of ours, whose answer is not the program's."""
    terminal.shows(b"(Pdb)")
    terminal.type(b"p answer + 1\n")
    terminal.shows(b"42")
    terminal.type(b"c\n")
    terminal.shows(b"name?")
    terminal.type(b"\x03")
    terminal.shows(b"[c] continue")
    terminal.type(b"c\nfern\n")
    terminal.shows(b"got fern")
    terminal.type(b"last\n\x04")
    terminal.shows(rb"rest 'last\n'")
    terminal.shows(b"Held now: nothing")
