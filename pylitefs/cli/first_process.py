"""Process 1, which a command is in a container: it buries the dead, and passes signals on.

To process 1 the kernel gives every orphan there is, and a dead one stays (`<defunct>`) until somebody waits
for it. A command cannot wait for just any child: it would take the exit codes that its own code waits for.
The rule: process 1 does nothing else. The command is a child of it, whose exit code becomes its own.
"""

import contextlib
import os
import signal
import sys

_NOT_PASSED_ON = {signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP, signal.SIGTTIN, signal.SIGTTOU}


def step_aside() -> None:
    """Where this is process 1: returns in a child of it. Process 1 itself ends in here."""
    if os.getpid() != 1:
        return
    # Blocked, a signal waits; else process 1 never sees one for which it has no handler.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    child = os.fork()
    if child:
        sys.exit(_wait_for_all(child))
    _take_the_terminal()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_for_all(child: int) -> int:
    """The child's exit code, 128 + N after signal N."""
    wanted = signal.valid_signals() - (_NOT_PASSED_ON - {signal.SIGCHLD})
    while True:
        number = signal.sigwait(wanted)
        if number is not signal.SIGCHLD:
            os.kill(child, number)
            continue
        while (found := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            if found[0] == child:
                code = os.waitstatus_to_exitcode(found[1])
                return code if code >= 0 else 128 - code


def _take_the_terminal() -> None:
    """Ctrl-C is the command's alone; it would get it twice. Called with SIGTTOU blocked."""
    with contextlib.suppress(OSError):
        if os.isatty(0):
            os.setpgid(0, 0)
            os.tcsetpgrp(0, os.getpid())
