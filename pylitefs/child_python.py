"""How pylitefs starts its own child processes: Pythons that import installed code alone.

Python puts the current directory in front of everything for `-m` and `-c`. There a homework that is called
like a module (`json`) would run as the lecturer, and a clone called `pylitefs` would hide the package. `-P`
leaves it out. The rule: every command line of a Python of ours is made here.
"""

import sys


def python(*arguments: str) -> list[str]:
    """This very Python with these arguments, such as `-c` and a text."""
    return [sys.executable, "-P", *arguments]


def python_module(module: str, *arguments: str) -> list[str]:
    """A module of the package as a program: `python_module("pylitefs", "version")`."""
    return python("-m", module, *arguments)
