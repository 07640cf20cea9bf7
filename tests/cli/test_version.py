"""`pylitefs version`: what a report of a fault needs."""

import platform
import re
import sqlite3

import pytest

from pylitefs import __version__
from pylitefs.cli.main import run


def test_version_names_everything_that_matters(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version"]) == 0
    out = capsys.readouterr().out
    assert re.fullmatch(r"pylitefs \S+ \(LiteFS 0\.5 formats\), Python 3\.\S+, SQLite 3\.\S+\n", out)
    for one in (__version__, platform.python_version(), sqlite3.sqlite_version):
        assert f" {one}" in out
