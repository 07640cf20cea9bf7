"""What tests/conftest.py promises of a whole run."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
WAITS = """
import threading
from collections.abc import Iterator
import pytest

@pytest.fixture
def started() -> Iterator[None]:
    yield
    print("\\nit was ended", flush=True)

def test_that_is_long(started: None) -> None:
    print("\\nit runs", flush=True)
    threading.Event().wait(60)
"""


def test_what_a_run_started_is_ended_when_the_run_is_told_to_end(tmp_path: Path) -> None:
    """With SIGTERM, as `timeout` and a CI's own limit do."""
    test = tmp_path / "tests" / "test_one.py"
    test.parent.mkdir()
    test.write_text(WAITS)
    command = [sys.executable, "-m", "pytest", "-s", "-q", "-p", "no:cacheprovider", "-p", "tests.conftest"]
    with subprocess.Popen(
        [*command, f"--rootdir={tmp_path}", test], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert "it runs\n" in lines
        process.terminate()
        assert "it was ended\n" in lines
