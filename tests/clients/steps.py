"""What the scripts of Python's libraries share. The other languages' do the same by themselves.

A script is called with PRIMARY REPLICA MODE, a database's path on two mounts and its journal mode. It

1. makes the database on the primary, with one row, and waits until the replica is at its position;
2. opens the replica's as the library does by itself, reads, and writes: what does the library say?
3. opens it with the settings that are usual for the library, reads, has another row written on the primary,
   and reads again by the same connection.

It prints one line of JSON: `version` (the library's, where no pin says it), `sqlite`, `timeout` (its
own busy timeout in milliseconds), `read` (the rows), `refused` (what it said), and `settings` ("ok", or what
it said).
"""

import json
import sys
import time
from collections.abc import Callable

PRIMARY, REPLICA, MODE = sys.argv[1:4] if len(sys.argv) > 3 else ("", "", "")


def follow() -> None:
    """Wait until the replica's database is where the primary's is."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with open(f"{PRIMARY}-pos") as primary, open(f"{REPLICA}-pos") as replica:
                if primary.read() == replica.read():
                    return
        except FileNotFoundError:
            pass  # The replica has not heard of the database yet.
        if time.monotonic() > deadline:
            sys.exit(f"{REPLICA} does not follow {PRIMARY}")
        time.sleep(0.01)


def named(error: Exception) -> str:
    """An error as the library says it."""
    kind = type(error)
    return f"{kind.__module__}.{kind.__name__}: {str(error).splitlines()[0]}"


def said(action: Callable[[], object]) -> str:
    """The error that `action` raises; "" if there is none."""
    try:
        action()
    except Exception as error:
        return named(error)
    return ""


def check_rows(found: object, wanted: int) -> None:
    """Raise an error if the replica shows anything else."""
    if found != wanted:
        raise ValueError(f"{found} rows, and not {wanted}")


def tell(**facts: object) -> None:
    print(json.dumps(facts))
