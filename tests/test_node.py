"""The node's own end, and what its start loads."""

import subprocess
import threading
from pathlib import Path

import pytest

from pylitefs.child_python import python
from pylitefs.config import Config, DataConfig, FuseConfig, LeaseConfig
from pylitefs.node import Node

#: Each costs a start 15 to 120 ms of processor time; they are loaded when they are wanted, or beside.
LATE = ("numpy", "hypercorn", "starlette", "h2", "h11", "prometheus_client", "asyncio", "ssl", "httpx")
ON_DEMAND = ("pylitefs.http.proxy", "pylitefs.mount.observed", "pylitefs.control.node_end", "rich")


def loaded_by(program: str) -> set[str]:
    """The modules that are there at a program's end."""
    text = f"{program}\nimport sys\nprint(*sys.modules)"
    return set(subprocess.run(python("-c", text), capture_output=True, text=True, check=True).stdout.split())


def test_a_start_does_not_wait_for_what_the_mount_does_without() -> None:
    """Neither the server nor NumPy is loaded before the mount serves, nor what few nodes ever use."""
    mount = "pylitefs.mount.session, pylitefs.mount.moments, pylitefs.mount.applier.applier"
    found = loaded_by(f"import pylitefs.cli.main, pylitefs.cli.mount, pylitefs.node, {mount}")
    assert not found & {*LATE, *ON_DEMAND}
    assert "pylitefs.mount.operations" in found


def test_what_the_first_commit_needs_is_loaded_beside_the_mount(tmp_path: Path) -> None:
    """Else it would wait for NumPy."""
    program = (
        "from pathlib import Path\n"
        "from pylitefs.config import Config, DataConfig, FuseConfig, LeaseConfig\n"
        "from pylitefs.node import Node\n"
        f"base = Path({str(tmp_path)!r})\n"
        "places = {'data': DataConfig(dir=base / 'data'), 'fuse': FuseConfig(dir=base / 'mnt')}\n"
        "Node(Config(**places, lease=LeaseConfig(type='static')))._load_rest()"
    )
    assert "numpy" in loaded_by(program)


@pytest.mark.parametrize("arguments", [["--help"], ["version"]])
def test_help_loads_no_command(arguments: list[str]) -> None:
    """The lines of `pylitefs --help` are at hand."""
    found = loaded_by(f"from pylitefs.cli.main import run\nassert run({arguments!r}) == 0")
    assert not found & {*LATE, *ON_DEMAND, "pydantic", "yaml", "pylitefs.cli.mount", "pylitefs.store"}


def test_a_node_that_ends_by_itself_lets_its_application_end_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mount must still be there then. The exit code says that the node failed."""
    node = Node(
        Config(
            data=DataConfig(dir=tmp_path / "data"),
            fuse=FuseConfig(dir=tmp_path / "mnt"),
            lease=LeaseConfig(type="static"),
        )
    )
    done: list[str] = []
    ended = threading.Event()

    def stop() -> None:
        done.append("the mount goes")
        node.ended.set()
        ended.set()

    monkeypatch.setattr(node, "stop", stop)
    node.before_end = lambda: done.append("the application ends")
    node._fail(ValueError("a position that cannot be"))
    assert ended.wait(10)
    assert done == ["the application ends", "the mount goes"]
    assert node.wait() == 1
