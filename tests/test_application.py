"""`exec`: the application beside a real node, which starts, is signalled, and ends with it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from pylitefs.application import Application
from pylitefs.child_python import python_module
from pylitefs.cluster.cluster import is_mounted, unmount
from pylitefs.cluster.ports import free_ports
from pylitefs.config import ExecCommand

pytestmark = pytest.mark.fuse

ENDING = """
import signal, sys, pathlib
def end(number, frame):
    pathlib.Path(sys.argv[1]).write_text(signal.Signals(number).name)
    sys.exit(int(sys.argv[2]))
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, end)
print("up", flush=True)
signal.pause()
"""


class Mounted:
    """A node's process with what is in its litefs.yml."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.mount = directory / "mnt"
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, execute: object, *, candidate: bool = True, arguments: tuple[str, ...] = ()) -> None:
        port = free_ports(1)[0]
        lease = {"type": "static", "candidate": candidate, "advertise-url": f"http://127.0.0.1:{port}"}
        config: dict[str, object] = {
            "fuse": {"dir": str(self.mount)},
            "data": {"dir": str(self.directory / "data")},
            "http": {"addr": f"127.0.0.1:{port}"},
            "lease": lease,
            "exec": execute,
        }
        path = self.directory / "litefs.yml"
        path.write_text(yaml.safe_dump(config))
        command = python_module("pylitefs", "mount", "-config", str(path), *arguments)
        self.processes.append(
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )

    @property
    def process(self) -> subprocess.Popen[str]:
        return self.processes[-1]

    def end(self) -> tuple[int, str, str]:
        """Exit code, output and log; nothing is mounted afterwards."""
        out, err = self.process.communicate(timeout=20)
        assert not is_mounted(self.mount)
        return self.process.returncode, out, err


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Mounted]:
    node = Mounted(tmp_path)
    yield node
    for process in node.processes:
        # The session's other processes too: an application of a node that did not end would stay.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    unmount(node.mount)


def test_commands_run_in_order_and_the_last_one_s_exit_code_is_the_node_s(node: Mounted) -> None:
    """The first makes a table through the mount, the last one reads it, and it is all over with it."""
    node.start(
        [
            {"cmd": f"sqlite3 {node.mount}/a.db 'CREATE TABLE t(x); INSERT INTO t VALUES (42)'"},
            {"cmd": f"sh -c 'sqlite3 {node.mount}/a.db \"SELECT x FROM t\"; exit 7'"},
        ]
    )
    code, out, _ = node.end()
    assert (code, out) == (7, "42\n")


def test_a_string_is_one_command_and_a_command_line_takes_its_place(node: Mounted) -> None:
    node.start("sh -c 'echo from the file'")
    assert node.end()[:2] == (0, "from the file\n")
    node.start("false", arguments=("--", "echo", "two  words"))
    assert node.end()[:2] == (0, "two  words\n")


def test_who_is_no_candidate_leaves_such_commands_out(node: Mounted) -> None:
    """A replica whose primary never answers is not ready: nothing runs, and a signal ends it."""
    node.start([{"cmd": "echo only the candidate", "if-candidate": True}, {"cmd": "echo all"}])
    assert node.end()[1] == "only the candidate\nall\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_the_application_s(node: Mounted, number: signal.Signals) -> None:
    """It ends when it likes and as it likes, also with an error: the node unmounts and passes that on."""
    told = node.directory / "told"
    node.start([{"cmd": f"{sys.executable} -c '{ENDING}' {told} 3"}])
    assert node.process.stdout is not None
    assert node.process.stdout.readline() == "up\n"
    assert is_mounted(node.mount)
    node.process.send_signal(number)
    code, _, err = node.end()
    assert code == 3
    assert told.read_text() == number.name
    assert f"{number.name} passed on to the application" in err


def test_an_application_that_a_signal_ended_gives_128_and_its_number(node: Mounted) -> None:
    node.start("sh -c 'kill -KILL $$'")
    assert node.end()[0] == 128 + signal.SIGKILL


def test_a_first_command_that_fails_ends_it_all(node: Mounted) -> None:
    node.start([{"cmd": "sh -c 'exit 4'"}, {"cmd": "echo never"}])
    code, out, err = node.end()
    assert (code, out) == (1, "")
    assert "ended with exit code 4" in err


def test_a_program_that_is_not_there_is_said(node: Mounted) -> None:
    node.start("no-such-program --x")
    code, _, err = node.end()
    assert code == 1
    assert "exec: 'no-such-program --x' cannot be run: No such file or directory" in err


def test_the_application_is_told_when_its_node_is_to_end(node: Mounted) -> None:
    """Whoever started the node went away: the application gets SIGTERM, and the mount goes after it."""
    told = node.directory / "told"
    node.start([{"cmd": f"{sys.executable} -c '{ENDING}' {told} 0"}], arguments=("--until-eof",))
    assert node.process.stdout is not None and node.process.stdin is not None
    assert node.process.stdout.readline() == "up\n"
    assert node.end()[0] == 0
    assert told.read_text() == "SIGTERM"


def test_nothing_runs_before_a_replica_is_ready(node: Mounted, eventually: Callable[..., None]) -> None:
    """Its primary does not answer; a signal ends it."""
    node.start("echo too early", candidate=False)
    eventually(lambda: is_mounted(node.mount), "the mount")
    node.process.send_signal(signal.SIGTERM)
    code, out, _ = node.end()
    assert (code, out) == (0, "")


def test_the_commands_have_the_api_s_token(tmp_path: Path) -> None:
    """So a `pylitefs import` among them is let in, also where only the config file has the token."""
    out = tmp_path / "token"
    text = f"sh -c 'printf %s $PYLITEFS_HTTP_TOKEN > {out}'"
    application = Application([ExecCommand(cmd=text)], candidate=True, token="of-the-config-file")
    assert application.run() == 0
    assert out.read_text() == "of-the-config-file"
