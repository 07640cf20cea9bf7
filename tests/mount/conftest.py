"""Mounts in processes of their own, always ended and unmounted, whatever a test did to them."""

import json
import os
import queue
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from pylitefs.mount import mountinfo
from pylitefs.mount.session import detach
from tests import forked
from tests.forked import Program

ROOT = Path(__file__).parents[2]
ANSWER_SECONDS = 20.0


class Mounted:
    """One mount, served by another process; `ask` sends it a command of `node_process.NodeProcess`.

    The process is forked; with a `command` for Python, such as another user's, it is started.
    """

    def __init__(self, data_dir: Path, mount_dir: Path, *flags: str, command: tuple[str, ...] = ()) -> None:
        self.data_dir = data_dir
        self.dir = mount_dir
        self.log: list[str] = []
        self._answers: queue.Queue[dict[str, object]] = queue.Queue()
        program = ["-m", "tests.mount.node_process", str(data_dir), str(mount_dir), *flags]
        self.process: subprocess.Popen[str] | Program
        if command:
            self.process = subprocess.Popen(
                [*command, *program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        else:
            self.process = forked.python(*program, stderr=True)
        for target in (self._read_answers, self._read_log):
            threading.Thread(target=target, daemon=True).start()

    def _read_answers(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._answers.put(json.loads(line))

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line.rstrip())

    def send(self, do: str, **fields: object) -> None:
        """Send a command without waiting for its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **fields}) + "\n")
        self.process.stdin.flush()

    def answer(self, seconds: float = ANSWER_SECONDS) -> dict[str, object]:
        """The next line that the process says."""
        return self._answers.get(timeout=seconds)

    def ask(self, do: str, **fields: object) -> dict[str, object]:
        """Send a command; its answer. Fails the test if the command failed."""
        self.send(do, **fields)
        answer = self.answer()
        assert answer.get("ok"), answer
        return answer

    def counts(self) -> dict[str, int]:
        counts = self.ask("counts")["counts"]
        assert isinstance(counts, dict)
        return counts

    def kill(self) -> None:
        """`kill -9`: the mount stays behind, dead."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=10)

    def end(self) -> None:
        """Whatever state it is in: the process ends and nothing is mounted any more."""
        if self.process.poll() is None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            try:
                self.process.wait(timeout=8)
            except subprocess.TimeoutExpired:
                self.kill()
        while mountinfo.find(self.dir) is not None:
            detach(self.dir)


class MountFactory(Protocol):
    """Starts a mount; `started=False` leaves `start` to the test, `name` is the folder under tmp_path."""

    def __call__(
        self, *flags: str, name: str = "node", mount_dir: Path | None = None, started: bool = True
    ) -> Mounted: ...


@pytest.fixture(params=["kernel", "observed"])
def locks(request: pytest.FixtureRequest) -> str:
    """Whose `fcntl` locks on the mount are: every test of a mount runs in both modes."""
    return str(request.param)


@pytest.fixture
def mount_factory(tmp_path: Path, locks: str) -> Iterator[MountFactory]:
    mounts: list[Mounted] = []
    mode = ("--observed-locks",) if locks == "observed" else ()

    def make(*flags: str, name: str = "node", mount_dir: Path | None = None, started: bool = True) -> Mounted:
        base = tmp_path / name
        base.mkdir(exist_ok=True)
        mounted = Mounted(base / "data", mount_dir or base / "mnt", *mode, *flags)
        mounts.append(mounted)
        if started:
            mounted.ask("start")
        return mounted

    # A call into a mount that hangs cannot be interrupted from here: killing the mount's process ends it.
    def kill_all() -> None:
        for mounted in mounts:
            mounted.process.kill()

    watchdog = threading.Timer(90, kill_all)
    watchdog.start()
    yield make
    for mounted in mounts:
        mounted.end()
    watchdog.cancel()


@pytest.fixture
def mount(mount_factory: MountFactory) -> Mounted:
    """A primary's mount over a real store."""
    return mount_factory()


@pytest.fixture
def bare(mount_factory: MountFactory) -> Mounted:
    """A mount over plain files: the mount's own behaviour, without transactions."""
    return mount_factory("--passthrough")


class Client:
    """A program that uses the mount from its own process: Python code, led by lines, killed at the end."""

    def __init__(self, code: str, *arguments: object) -> None:
        self.process = forked.python("-c", code, *arguments)

    def line(self, seconds: float = 10.0) -> str:
        """The next line it prints; fails the test if none comes."""
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        assert ready, f"the client said nothing for {seconds:g} s"
        return self.process.stdout.readline().strip()

    def tell(self, text: str = "") -> None:
        """Send it a line."""
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.wait(timeout=10)


@pytest.fixture
def client() -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def start(code: str, *arguments: object) -> Client:
        clients.append(Client(code, *arguments))
        return clients[-1]

    yield start
    for one in clients:
        one.end()


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Poll until the condition holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not true after {seconds:g} s"
        time.sleep(0.01)


@contextmanager
def refusal(code: int) -> Iterator[None]:
    """Expect an OSError with this errno."""
    with pytest.raises(OSError) as caught:
        yield
    assert caught.value.errno == code, f"{caught.value} and not {os.strerror(code)}"
