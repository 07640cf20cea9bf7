"""The program that pylitefs is held beside: found, and asked who it is.

The rule: before anything is mounted it is certain that the other program is LiteFS 0.5, or another
pylitefs that was named on purpose; a `litefs` on the PATH that is only a link to pylitefs does not count.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pylitefs import __version__
from pylitefs.child_python import python_module
from pylitefs.errors import PylitefsError

RELEASES = "https://github.com/superfly/litefs/releases/tag/v0.5.14"
WANTED = "0.5"
_ASK_SECONDS = 20.0


class ProgramError(PylitefsError):
    """No program to compare with, or one that is not what it should be."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program whose `mount` serves a node. `command` comes before `mount`."""

    name: str
    command: tuple[str, ...]
    version: str
    is_pylitefs: bool

    def mount_command(self, config: Path, mount: Path) -> list[str]:
        """What runs a node until standard input ends, also where its parent is killed."""
        if self.is_pylitefs:
            return [*self.command, "mount", "-config", str(config), "--until-eof"]
        guard = python_module("pylitefs.compare.guard", str(mount))
        return [*guard, *self.command, "mount", "-config", str(config)]


def ours() -> Program:
    """This very pylitefs."""
    return Program("pylitefs", tuple(python_module("pylitefs")), __version__, is_pylitefs=True)


def find(path: Path | None) -> Program:
    """The program at `path`, or else `litefs` on the PATH. Raises ProgramError, saying what to do."""
    if path is not None:
        return identify(path)
    for folder in os.get_exec_path():
        candidate = Path(folder) / "litefs"
        if os.access(candidate, os.X_OK) and candidate.is_file():
            program = identify(candidate)
            if not program.is_pylitefs:
                return program
    raise ProgramError(
        f"no real litefs on the PATH to compare with. Get the binary of v0.5.14 at\n{RELEASES} "
        "and name it: pylitefs compare --litefs PATH"
    )


def identify(path: Path) -> Program:
    """Ask the program at `path` for its version. Raises ProgramError if it is no LiteFS 0.5."""
    path = path.absolute()
    if not path.exists():
        raise ProgramError(f"{path} is not there; name the litefs binary with --litefs")
    try:
        done = subprocess.run(
            [str(path), "version"],
            check=False,
            capture_output=True,
            timeout=_ASK_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise ProgramError(f"{path} version does not end: is it LiteFS? Get it at {RELEASES}") from None
    except OSError as error:
        raise ProgramError(f"{path} cannot be run: {error.strerror}; get LiteFS at {RELEASES}") from None
    text = done.stdout.decode("utf-8", "replace").strip()
    if match := re.match(r"pylitefs (\S+) \(LiteFS 0\.5 formats\)", text):
        return Program("the other pylitefs", (str(path),), match[1], is_pylitefs=True)
    if match := re.match(r"LiteFS v?(\d+\.\d+)\.(\S+?)(?:,|$)", text):
        if match[1] != WANTED:
            raise ProgramError(
                f"{path} is LiteFS {match[1]}.{match[2]}; pylitefs keeps the formats of {WANTED}: "
                f"get v0.5.14 at {RELEASES}"
            )
        return Program("LiteFS", (str(path),), f"{match[1]}.{match[2]}", is_pylitefs=False)
    if text.startswith("LiteFS"):
        raise ProgramError(f"{path} does not say which version it is ({text!r}): get v0.5.14 at {RELEASES}")
    said = (text or done.stderr.decode("utf-8", "replace").strip()).partition("\n")[0][:80]
    raise ProgramError(f"{path} is not LiteFS: to `version` it says {said!r}; get LiteFS at {RELEASES}")
