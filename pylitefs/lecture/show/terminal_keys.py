"""One key at an empty prompt: a clicker's keys and Space step at once, any other begins a line.

    Space, PageDown, →   next        PageUp, ←   back

The rule: only the first key of a line is looked at. From the second on the line is `input`'s, with all that
it can do; and where there is no terminal, or no `readline`, all of it is.
"""

import contextlib
import os
import select
import sys
from collections.abc import Iterator

try:  # Neither is there on Windows.
    import readline
    import termios
    import tty

    HAS_KEYS = True
except ImportError:
    HAS_KEYS = False

NEXT, BACK = "next", "back"
_STEPS = {" ": NEXT, "[6~": NEXT, "[C": NEXT, "OC": NEXT, "[5~": BACK, "[D": BACK, "OD": BACK}
"""What follows Escape, of those that begin with it."""
_UP = {"[A", "OA"}
_ENTER = {"\r", "\n"}
_END = "\x04"
_SEQUENCE_S = 0.05
"""The rest of a key's sequence comes at once; Escape pressed alone has none."""


def read_line(prompt: str) -> str | None:
    """One line from standard input, or what its first key means; None at its end."""
    if not sys.stdin.isatty():
        return sys.stdin.readline() or None
    try:
        if not HAS_KEYS:
            return input(prompt)
        with _keys_at_once(sys.stdin.fileno()):
            print(prompt, end="", flush=True)
            key = _next_key(sys.stdin.fileno())
        if key in _STEPS or key in _ENTER:
            print()
            return _STEPS.get(key, "")
        if key == _END:
            return None
        print("\r", end="", flush=True)
        begun = key if len(key) == 1 and key.isprintable() else _last_line() if key in _UP else ""
        return _rest_of_line(prompt, begun)
    except EOFError:
        return None


def read_key(fd: int) -> str:
    """One key from a terminal: a character, or what follows Escape. EOFError at its end."""
    with _keys_at_once(fd):
        return _next_key(fd)


@contextlib.contextmanager
def _keys_at_once(fd: int) -> Iterator[None]:
    """The terminal gives each key as it is pressed. A prompt is printed inside: what is typed on seeing it is
    a key, and Ctrl-D no end of a line, as which the terminal would swallow it."""
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _next_key(fd: int) -> str:
    key = _read_byte(fd)
    if key != b"\x1b":
        while len(key) < 4 and not _is_whole(key):
            key += _read_byte(fd)
        return key.decode(errors="replace")
    rest = b""
    while not _ends_sequence(rest) and select.select([fd], [], [], _SEQUENCE_S)[0]:
        rest += _read_byte(fd)
    return rest.decode(errors="replace") or "\x1b"


def _read_byte(fd: int) -> bytes:
    found = os.read(fd, 1)
    if not found:
        raise EOFError
    return found


def _is_whole(character: bytes) -> bool:
    with contextlib.suppress(UnicodeDecodeError):
        character.decode()
        return True
    return False


def _ends_sequence(rest: bytes) -> bool:
    """`[` or `O`, then digits, then what ends it; of anything else the first byte."""
    if rest[:1] not in (b"[", b"O"):
        return bool(rest)
    return len(rest) > 1 and (rest[-1:].isalpha() or rest[-1:] == b"~")


def _last_line() -> str:
    return readline.get_history_item(readline.get_current_history_length()) or ""


def _rest_of_line(prompt: str, begun: str) -> str:
    readline.set_startup_hook(lambda: readline.insert_text(begun))
    try:
        return input(prompt)
    finally:
        readline.set_startup_hook()
