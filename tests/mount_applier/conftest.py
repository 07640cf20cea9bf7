"""Where the applier works in these tests: a plain directory (locks and page cache are the kernel's there,
too), and a mount that another process serves."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pylitefs.mount import mountinfo
from pylitefs.mount.applier import Applier
from pylitefs.mount.session import detach
from pylitefs.trace import Tracer

from .support import Reader

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["directory", pytest.param("fuse", marks=pytest.mark.fuse)])
def mount_dir(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A directory to keep databases in, plain or mounted."""
    mount = tmp_path / "mount"
    mount.mkdir()
    if request.param == "directory":
        yield mount
        return
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.mount_applier.mounted", str(tmp_path / "data"), str(mount)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n", "the mount did not come up; see stderr"
        yield mount
        process.stdin.close()
        process.wait(10)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        if mountinfo.find(mount) is not None:
            detach(mount)


@pytest.fixture
def tracer() -> Tracer:
    return Tracer()


@pytest.fixture
def applier(mount_dir: Path, tracer: Tracer) -> Iterator[Applier]:
    """An applier attached to `mount_dir`."""
    one = Applier(tracer=tracer)
    one.start()
    try:
        one.attach(mount_dir)
        yield one
    finally:
        one.stop()


@pytest.fixture
def reader() -> Iterator[Callable[..., Reader]]:
    """Starts readers (see reader.py), which end with the test."""
    readers: list[Reader] = []

    def start(path: Path, **options: object) -> Reader:
        one = Reader(path, **options)
        readers.append(one)
        assert one.line()["ready"]
        return one

    yield start
    for one in readers:
        one.kill()
