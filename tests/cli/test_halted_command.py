"""`pylitefs run -with-halt-lock-on`: a command that writes on a replica."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.child_python import python_module
from pylitefs.cli.halted_command import run_halted
from pylitefs.errors import PylitefsError
from tests.cluster.halting import bump, connect, counted, made
from tests.conftest import ClusterFactory

SCRIPT = """
import os, sqlite3, sys
assert os.fstat(3), "the lock file's handle"
db = sqlite3.connect(sys.argv[1])
db.execute("UPDATE c SET n = n + 1")
db.commit()
sys.exit(7)
"""


@pytest.mark.fuse
def test_it_writes_on_a_replica_and_its_exit_code_is_kept(cluster_factory: ClusterFactory) -> None:
    """When it ends, the lock is given back already. On the primary it runs as well."""
    cluster = cluster_factory(replicas=1)
    path = made(cluster, "delete")
    replica = cluster.replicas[0].database("c.db")
    for number, database in enumerate((replica, path), 1):
        command = python_module("pylitefs", "run", "-v", "-with-halt-lock-on", str(database), "--")
        done = subprocess.run(
            [*command, *python_module("timeit")[:1], "-c", SCRIPT, str(database)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 7, done.stderr
        lines = done.stderr.splitlines()
        assert [one.partition(" in ")[0] for one in lines] == [
            "acquiring halt lock",
            "halt lock acquired",
            "releasing halt lock",
            "halt lock released",
        ]
        with closing(connect(path, timeout=0)) as db:
            assert counted(db) == number
            db.execute("BEGIN IMMEDIATE")
            db.execute("ROLLBACK")
    with closing(connect(replica)) as db, pytest.raises(sqlite3.OperationalError):
        bump(db)


def test_what_is_no_database_of_a_mount_is_said(tmp_path: Path) -> None:
    """The texts are LiteFS's."""
    with pytest.raises(PylitefsError, match="database does not exist: "):
        run_halted(str(tmp_path / "no.db"), ["true"], print)
    (tmp_path / "a.db").touch()
    with pytest.raises(PylitefsError, match=r'lock file not available, are you sure ".*" is a LiteFS mount'):
        run_halted(str(tmp_path / "a.db"), ["true"], print)


def test_signals_and_a_command_that_is_none(tmp_path: Path) -> None:
    """A signal's end is 128 and its number, as in a shell. (A plain file serves as the lock.)"""
    for name in ("a.db", "a.db-lock"):
        (tmp_path / name).touch()
    assert run_halted(str(tmp_path / "a.db"), ["sh", "-c", "kill -TERM $$"], print) == 143
    assert run_halted(str(tmp_path / "a.db"), ["sh", "-c", "kill -TERM $PPID; sleep 60"], print) == 143
    with pytest.raises(PylitefsError, match="nothing cannot be run"):
        run_halted(str(tmp_path / "a.db"), [str(tmp_path / "nothing")], print)
