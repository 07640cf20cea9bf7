"""A node where `fcntl`, FUSE and half of `os` are missing: what runs on Windows, as far as Linux shows it."""

import subprocess
import sys
from pathlib import Path

from pylitefs.child_python import python


def test_a_primary_and_a_replica_run_without_what_windows_lacks(tmp_path: Path) -> None:
    """Commits in both kinds of modes, a snapshot, a stream, refusals; and nothing of the mount is loaded."""
    ran = subprocess.run(
        python("-m", "tests.vfs.poor_system", str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=100,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[0].startswith("app.db: this node is a replica: write on the primary, p (")
    assert "DataDirectoryError" in ran.stdout and "in use by" in ran.stdout
    assert ran.stdout.splitlines()[-2:] == ["loaded: []", "of the mount: []"]
    assert sys.modules["fcntl"], "this process keeps its own"
