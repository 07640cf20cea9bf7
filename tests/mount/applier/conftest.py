"""Where the applier works in these tests: a plain directory (locks and page cache are the kernel's there,
too), and a mount that another process serves."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pylitefs.mount import mountinfo
from pylitefs.mount.applier.applier import Applier
from pylitefs.mount.session import detach
from pylitefs.trace import Tracer
from tests import forked
from tests.forked import Program

from .support import Reader

OBSERVED_TOO = ("test_locks", "test_readers", "test_stayers")
"""What runs with observed locks each time; the rest, which is about bytes and processes, does with --full."""
NO_CONTROL = ("test_readers", "test_stayers")
"""What takes long, and runs on a plain directory, the control, with --full alone."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test on a directory, a mount, and a mount with observed locks; but for what says where itself."""
    chosen = {str(mark.args[0]) for mark in metafunc.definition.iter_markers("parametrize")}
    if "place" in metafunc.fixturenames and "place" not in chosen:
        module = metafunc.module.__name__.rpartition(".")[2]
        marks = [pytest.mark.fuse, *([] if module in OBSERVED_TOO else [pytest.mark.full])]
        fuse = pytest.param("fuse", marks=pytest.mark.fuse)
        observed = pytest.param("observed", marks=marks)
        directory = pytest.param("directory", marks=[pytest.mark.full] if module in NO_CONTROL else [])
        metafunc.parametrize("place", [directory, fuse, observed], indirect=True)


class Place:
    """A directory to keep databases in, and who serves it, if it is a mount."""

    def __init__(self, path: Path, process: Program | None = None) -> None:
        self.path = path
        self.process = process

    def holders(self, database: str) -> str:
        """Who has a database locked, by the account of the mount's own process."""
        assert self.process
        self.process.stdin.write(f"{database}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Plain, mounted with locks that the kernel keeps, and mounted with observed ones."""
    mount = tmp_path / "mount"
    mount.mkdir()
    if request.param == "directory":
        yield Place(mount)
        return
    process = forked.python("-m", "tests.mount.applier.mounted", request.param, tmp_path / "data", mount)
    try:
        assert process.stdout.readline() == "ready\n", "the mount did not come up; see stderr"
        yield Place(mount, process)
        process.stdin.close()
        process.wait(10)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        if mountinfo.find(mount) is not None:
            detach(mount)


@pytest.fixture
def mount_dir(place: Place) -> Path:
    """The directory itself."""
    return place.path


@pytest.fixture
def tracer() -> Tracer:
    return Tracer()


@pytest.fixture
def applier(place: Place, tracer: Tracer) -> Iterator[Applier]:
    """An applier attached to `mount_dir`."""
    one = Applier(tracer=tracer, holders=place.holders if place.process else None)
    one.start()
    try:
        one.attach(place.path)
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
