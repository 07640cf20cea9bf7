"""`pylitefs mount`: LiteFS's flags, one line for an error, and one way to end."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, ModuleType, SimpleNamespace
from typing import ClassVar

import pytest

from pylitefs.child_python import python_module
from pylitefs.cli import mount
from pylitefs.cli.main import run
from pylitefs.config import Config
from pylitefs.errors import MountError
from pylitefs.mount import mountinfo
from pylitefs.store.status import Status
from pylitefs.trace import Tracer

GOOD = "fuse: {{dir: {0}/mnt}}\ndata: {{dir: {0}/data}}\nlease: {{type: static}}\n"


class SignalAgain:
    """A trace function: sends the signal again at the first lines of all that runs, a few times over."""

    def __init__(self, number: int) -> None:
        self.number, self.left = number, 40

    def __call__(self, frame: FrameType, event: str, arg: object) -> "SignalAgain":
        if event == "line" and self.left:
            self.left -= 1
            signal.raise_signal(self.number)
        return self


class FakeNode:
    """Stands in for a node: remembers what it was made from, and runs until it is stopped."""

    made: ClassVar[list["FakeNode"]] = []
    fail: ClassVar[str] = ""
    signal_itself: ClassVar[int] = 0
    again_at_every_line: ClassVar[bool] = False
    exit_code: ClassVar[int] = 0

    def __init__(
        self, config: Config, *, tracer: Tracer, skip_unmount: bool = False, **options: object
    ) -> None:
        self.config, self.tracer, self.skip_unmount = config, tracer, skip_unmount
        self.stopped = self.ended = threading.Event()
        self.status = Status(ready=True)
        self.made.append(self)

    def start(self) -> None:
        if self.fail:
            if self.signal_itself:
                os.kill(os.getpid(), self.signal_itself)
            raise MountError(self.fail)

    def wait(self) -> int:
        if self.signal_itself:
            if self.again_at_every_line:
                sys.settrace(SignalAgain(self.signal_itself))
            signal.raise_signal(self.signal_itself)
            sys.settrace(None)
            assert self.stopped.wait(10)
        return self.exit_code

    def stop(self) -> None:
        self.stopped.set()


@pytest.fixture(autouse=True)
def log() -> Iterator[None]:
    """The log is put back as it was: a command of another test sets up none."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    root.handlers[:] = before


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> type[FakeNode]:
    module = ModuleType("pylitefs.node")
    module.Node = FakeNode  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pylitefs.node", module)
    for name, value in {
        "made": [],
        "fail": "",
        "signal_itself": 0,
        "again_at_every_line": False,
        "exit_code": 0,
    }.items():
        monkeypatch.setattr(FakeNode, name, value)
    return FakeNode


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "litefs.yml"
    path.write_text(GOOD.format(tmp_path))
    return path


@pytest.mark.parametrize("dashes", ["-", "--"])
def test_every_flag_of_litefs_in_both_spellings(node: type[FakeNode], config: Path, dashes: str) -> None:
    flags = [
        f"{dashes}{name}" for name in ("debug", "fuse.debug", "tracing", "skip-unmount", "no-expand-env")
    ]
    assert run(["mount", f"{dashes}config={config}", *flags]) == 0
    assert run(["mount", f"{dashes}config", str(config), *flags]) == 0
    made = node.made[-1]
    assert made.config.log.debug and made.config.fuse.debug and made.skip_unmount and made.tracer.active


def test_without_flags_nothing_is_switched_on(node: type[FakeNode], config: Path) -> None:
    assert run(["mount", "-config", str(config)]) == 0
    made = node.made[-1]
    assert not (made.config.log.debug or made.config.fuse.debug or made.skip_unmount or made.tracer.active)
    assert made.stopped.is_set()


def test_no_expand_env_leaves_variables_alone(node: type[FakeNode], config: Path) -> None:
    config.write_text(config.read_text().replace("/mnt", "/$HOME"))
    assert run(["mount", "-config", str(config), "-no-expand-env"]) == 0
    assert node.made[-1].config.fuse.dir.name == "$HOME"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_the_node_cleanly(node: type[FakeNode], config: Path, number: int) -> None:
    node.signal_itself = number
    before = signal.getsignal(number)
    assert run(["mount", "-config", str(config)]) == 0
    assert node.made[-1].stopped.is_set()
    assert signal.getsignal(number) == before


def test_a_signal_inside_the_handler_of_another_stops_it_too(node: type[FakeNode], config: Path) -> None:
    """A lock that the first handler holds would be waited for in the second, for good."""
    node.signal_itself, node.again_at_every_line = signal.SIGTERM, True
    assert run(["mount", "-config", str(config)]) == 0
    assert node.made[-1].stopped.is_set()


def test_the_exit_code_is_the_node_s(node: type[FakeNode], config: Path) -> None:
    node.exit_code = 1
    assert run(["mount", "-config", str(config)]) == 1


def test_a_node_that_fails_says_so_however_well_its_application_ends(
    node: type[FakeNode], config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever would start it again after a failure goes by the exit code."""
    up = tmp_path / "up"

    def fail(self: FakeNode) -> int:
        deadline = time.monotonic() + 10
        while not up.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return 1

    monkeypatch.setattr(node, "wait", fail)
    script = f"trap 'exit 0' TERM; touch {up}; while :; do sleep 0.01; done"
    assert run(["mount", "-config", str(config), "--", "sh", "-c", script]) == 1
    assert up.exists()


def test_what_the_node_cannot_do_is_one_line(
    node: type[FakeNode], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node.fail = "/dev/fuse is missing: load it with modprobe fuse"
    assert run(["mount", "-config", str(config)]) == 1
    assert capsys.readouterr().err == "pylitefs: /dev/fuse is missing: load it with modprobe fuse\n"


def test_exit_on_error_false_stays_up_until_it_is_told(node: type[FakeNode], config: Path) -> None:
    config.write_text(config.read_text() + "exit-on-error: false\n")
    node.fail, node.signal_itself = "no", signal.SIGTERM
    assert run(["mount", "-config", str(config)]) == 1


def test_a_wrong_config_is_one_line_and_exit_2(tmp_path: Path) -> None:
    """In a real process: no traceback, and nothing is mounted."""
    path = tmp_path / "litefs.yml"
    path.write_text("lease:\n  type: static\n  candidat: true\n")
    command = python_module("pylitefs", "mount", "-config", str(path))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        f"pylitefs: {path}:3: lease.candidat: unknown key; did you mean lease.candidate?\n"
    )
    assert done.stdout == ""


def test_a_warning_is_told_once(
    node: type[FakeNode], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(config.read_text() + "# ${A:-b}\n")
    assert run(["mount", "-config", str(config)]) == 0
    assert capsys.readouterr().err.count("${A:-b}") == 1


@pytest.mark.parametrize("skip", [False, True])
def test_the_application_waits_for_the_node_unless_skip_sync_says_not_to(skip: bool) -> None:
    """As in LiteFS: with it `exec` starts at once, whether the node has caught up or not."""
    node = SimpleNamespace(status=Status(ready=False), config=Config(skip_sync=skip), ended=threading.Event())
    started = threading.Event()

    def start() -> int:
        started.set()
        return 3

    application = SimpleNamespace(run=start)
    one = mount._Run(node, application, mount.Ending())  # type: ignore[arg-type]
    running = threading.Thread(target=one.run_application)
    running.start()
    if not skip:
        assert not started.is_set()
        node.status.ready = True
    running.join(10)
    assert started.is_set() and one.exit_code == 3


def test_the_trace_file_gets_every_tracepoint(node: type[FakeNode], config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text() + f"tracing: {{path: {tmp_path}/deep/trace.log}}\n")
    assert run(["mount", "-config", str(config)]) == 0
    node.made[-1].tracer.emit("ltx.commit", "a.db", 31, size=104)
    written = (tmp_path / "deep" / "trace.log").read_text()
    assert written.endswith(" ltx.commit db=a.db txid=000000000000001f size=104\n")


@pytest.mark.parametrize("format_", ["text", "json"])
def test_the_log_has_the_form_asked_for(
    node: type[FakeNode], config: Path, capsys: pytest.CaptureFixture[str], format_: str
) -> None:
    config.write_text(config.read_text() + f"# ${{A:-b}}\nlog: {{format: {format_}, timestamp: true}}\n")
    assert run(["mount", "-config", str(config)]) == 0
    line = capsys.readouterr().err
    start = {"text": "time=20", "json": '{"time": "20'}[format_]
    assert line.startswith(start)
    assert {"text": 'level=WARNING msg="', "json": '"level": "WARNING", "msg": "'}[format_] in line


@pytest.mark.parametrize(
    "told",
    [
        ("dat: {}\n", "", "litefs.yml:5: dat: unknown key; did you mean data?"),
        ("proxy: {addr: ':1', target: x}\n", "", "litefs.yml:5: proxy.target: 'x' is not an address"),
        ("exec: [\n", "", "litefs.yml:6: not YAML"),
        ("", "/dev/fuse is missing: load it with modprobe fuse", "/dev/fuse is missing"),
    ],
)
def test_a_start_that_fails_is_told_as_the_log_is(
    node: type[FakeNode],
    config: Path,
    capsys: pytest.CaptureFixture[str],
    told: tuple[str, str, str],
) -> None:
    """JSON, on one line, wherever in the file the error is and whoever failed."""
    more, node.fail, said = told
    config.write_text(f"log: {{format: json}}\n{config.read_text()}{more}")
    assert run(["mount", "-config", str(config)]) == (1 if node.fail else 2)
    line = json.loads(capsys.readouterr().err)
    assert line["level"] == "ERROR" and said in line["msg"]


@pytest.mark.fuse
@pytest.mark.parametrize("what", ["http", "proxy", "mount"])
def test_a_port_in_use_is_told_as_the_log_is(config: Path, what: str, tmp_path: Path) -> None:
    """In a real process: each line of it is JSON, and nothing stays mounted."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        more = {
            "http": f"http: {{addr: '127.0.0.1:{port}'}}\n",
            "proxy": f"http: {{addr: '127.0.0.1:0'}}\n"
            f"proxy: {{addr: '127.0.0.1:{port}', target: 'localhost:1', db: a}}\n",
            "mount": "",
        }[what]
        if what == "mount":
            (tmp_path / "mnt").touch()
        config.write_text(f"log: {{format: json}}\n{config.read_text()}{more}")
        command = python_module("pylitefs", "mount", "-config", str(config))
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode != 0
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    said = {"http": "http.addr", "proxy": "proxy.addr", "mount": "File exists"}[what]
    assert lines[-1]["level"] == "ERROR" and said in lines[-1]["msg"]
    assert mountinfo.find(tmp_path / "mnt") is None
