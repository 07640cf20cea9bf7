"""The list of what a test may start is true on this machine, and nothing else can be started."""

import os
import shutil
import subprocess

import pytest

from tests.programs import BARE, INSTALLED


def test_a_program_that_a_bare_machine_lacks_is_refused() -> None:
    """Whether it is here or not."""
    for command in ("curl", "/usr/bin/curl"):
        with pytest.raises(RuntimeError, match=r"a bare machine lacks curl: use Python, or name it in demo/"):
            subprocess.run([command, "--version"])


def test_every_program_of_the_list_is_here() -> None:
    """demo/setup.sh has seen to it; on a bare machine this shows that the list is right."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    wanted = [*BARE, *(name for name, left_out in INSTALLED.items() if os.environ.get(left_out or "") != "1")]
    assert [name for name in wanted if shutil.which(name, path=path) is None] == []
