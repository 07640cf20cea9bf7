"""A nursery's processes are as `subprocess.Popen` gives them, and nothing is left when it ends."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster, is_mounted
from pylitefs.cluster.nursery import UNKNOWN_CODE, ForkedProcess, Nursery, NurseryError


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    one = Nursery()
    yield one
    one.close()
    assert not Path(f"/proc/{one.pid}").exists()


def launch(nursery: Nursery, directory: Path, *arguments: str) -> ForkedProcess:
    with (directory / "log").open("ab") as log:
        return nursery.launch(arguments, directory, log, {"PYLITEFS_TEST": "1"}, {})


def test_a_command_runs_in_its_directory_and_its_exit_code_is_told(nursery: Nursery, tmp_path: Path) -> None:
    good = launch(nursery, tmp_path, "version")
    assert good.wait(60) == 0 and good.poll() == 0 and good.returncode == 0
    assert "pylitefs" in (tmp_path / "log").read_text()
    bad = launch(nursery, tmp_path, "mount", "-config", "missing.yml")
    assert bad.wait(20) == 2
    assert "missing.yml" in (tmp_path / "log").read_text()


@pytest.mark.fuse
def test_a_node_of_a_nursery_is_a_node_and_ends_with_its_input(nursery: Nursery, tmp_path: Path) -> None:
    with Cluster(tmp_path, 0, controlled=True) as cluster:
        node = cluster.primary
        assert node.control is not None
        node.control.ping()
        node.stop()
        node.nursery = nursery
        node.start()
        node.wait_ready()
        assert isinstance(node.process, ForkedProcess)
        assert os.getpgid(node.pid) == node.pid
        with pytest.raises(subprocess.TimeoutExpired):
            node.process.wait(0.01)
        node.control.ping()
        assert node.process.stdin is not None
        node.process.stdin.close()
        assert node.wait() == 0 and not is_mounted(node.mount)
        node.restart()
        node.kill9()
        assert node.process.returncode == -signal.SIGKILL
        node.restart()
        assert node.stop() == 0


@pytest.mark.fuse
def test_a_nursery_that_is_gone_is_told_and_takes_no_node_along(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    nursery = Nursery()
    with Cluster(tmp_path, 0) as cluster:
        node = cluster.primary
        node.stop()
        node.nursery = nursery
        node.restart()
        os.kill(nursery.pid, signal.SIGKILL)
        nursery.close()
        assert node.pid and node.is_ready()
        assert node.stop() == UNKNOWN_CODE
        with pytest.raises(NurseryError, match="is gone: start again"):
            node.start()


def test_several_threads_may_ask_whether_a_process_has_ended(nursery: Nursery, tmp_path: Path) -> None:
    one = launch(nursery, tmp_path, "version")
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(one.wait(60))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0] * 8
