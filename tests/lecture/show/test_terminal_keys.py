"""The keys of a terminal: a clicker's and Space step without Enter, everything else is a line as ever."""

import io
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from pylitefs.lecture.show import terminal_keys

pytestmark = pytest.mark.skipif(not terminal_keys.HAS_KEYS, reason="Windows has no termios")


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """The person's end and the program's end."""
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        (b" ", " "),
        (b"\r", "\n"),
        (b"\x1b[6~", "[6~"),
        (b"\x1b[5~", "[5~"),
        (b"\x1b[C", "[C"),
        (b"\x1bOD", "OD"),
        (b"\x1b[1;5C", "[1;5C"),
        (b"\x1b", "\x1b"),
        ("é".encode(), "é"),
        (b"7", "7"),
    ],
)
def test_a_key_is_read_whole_and_what_follows_stays(
    terminal: tuple[int, int], typed: bytes, key: str
) -> None:
    person, program = terminal
    os.write(person, typed)
    assert terminal_keys.read_key(program) == key
    if typed != b"\x1b":
        os.write(person, typed + b"n")
        assert terminal_keys.read_key(program) == key
        assert terminal_keys.read_key(program) == "n"


LOOP = """
from pylitefs.lecture.show.terminal_keys import read_line
while (line := read_line("> ")) is not None:
    print(f"<{line}>", flush=True)
print("<end>", flush=True)
"""


def answer(person: int, wanted: str, seconds: float = 20.0) -> str:
    """What the program says, until it has said this."""
    said, deadline = "", time.monotonic() + seconds
    while wanted not in said:
        assert time.monotonic() < deadline, f"no {wanted!r} in {said!r}"
        if select.select([person], [], [], 0.2)[0]:
            said += os.read(person, 4096).decode(errors="replace")
    return said


def test_space_and_a_clicker_step_and_a_line_is_a_line(terminal: tuple[int, int]) -> None:
    """In a real terminal: no Enter after a step; digits, commands and the line before wait for one."""
    person, program = terminal
    environment = {**os.environ, "TERM": "xterm"}
    child = subprocess.Popen(
        [sys.executable, "-c", LOOP],
        stdin=program, stdout=program, stderr=program, env=environment, start_new_session=True,
    )  # fmt: skip
    try:
        answer(person, "> ")
        for typed, line in (
            (b" ", "<next>"),
            (b"\x1b[6~", "<next>"),
            (b"\x1b[C", "<next>"),
            (b"\x1b[5~", "<back>"),
            (b"\x1b[D", "<back>"),
            (b"\r", "<>"),
            (b"2\r", "<2>"),
            (b"kill n1\r", "<kill n1>"),
            (b"\x1b[A\r", "<kill n1>"),
            (b"\x1b[3~d\r", "<d>"),
            (b"\x04", "<end>"),
        ):
            os.write(person, typed)
            answer(person, line if line == "<end>" else f"{line}\r\n> ")
        assert child.wait(10) == 0
    finally:
        child.kill()
        child.wait()


def test_what_is_typed_on_seeing_the_prompt_is_a_key(
    terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-D in the very moment of the prompt ends the program: the terminal takes it for no line's end."""
    person, program = terminal

    class Screen(io.StringIO):
        def write(self, text: str) -> int:
            if text == "> ":
                os.write(person, b"\x04")
                assert select.select([program], [], [], 20)[0]
            return super().write(text)

    with os.fdopen(program, closefd=False) as keyboard:
        monkeypatch.setattr(sys, "stdin", keyboard)
        monkeypatch.setattr(sys, "stdout", Screen())
        assert terminal_keys.read_line("> ") is None


def test_on_a_pipe_lines_are_lines() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOP], input=" \nq\n", capture_output=True, text=True, timeout=30
    )
    assert done.stdout == "< \n>\n<q\n>\n<end>\n"
