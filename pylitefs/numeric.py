"""NumPy, loaded without the threads of its linear algebra, which nobody here uses.

The rule: every module takes NumPy from here. To start those threads is two fifths of what loading NumPy
costs a node (139 ms of processor time, 84 without: `python -m pytest tests/test_numeric.py -s`). A module
that every node loads takes it inside the function that needs it: a node's start does without.

What a node's application inherits does not change: the variable that says so is set for the loading alone,
and not in `os.environ`, by which the application is started, perhaps meanwhile.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_THREADS = "OPENBLAS_NUM_THREADS"


@contextmanager
def _without_threads() -> Iterator[None]:
    if _THREADS in os.environ:
        yield
        return
    os.putenv(_THREADS, "1")
    try:
        yield
    finally:
        os.unsetenv(_THREADS)


with _without_threads():
    import numpy as np

__all__ = ["np"]
