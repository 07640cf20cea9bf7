"""`pylitefs demo` as a person uses it: lines for transactions, and nothing left after Ctrl-C."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.child_python import python_module
from pylitefs.cluster.cluster import is_mounted, wait_until
from tests.cli.demo_process import DemoProcess, running_demo, surroundings

pytestmark = pytest.mark.fuse


def sqlite3(path: Path, sql: str) -> str:
    done = subprocess.run(["sqlite3", str(path), sql], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def command_lines() -> Iterator[str]:
    """Of every process that there is."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # One that has just ended has no such file any more.
            yield os.fsdecode(path.read_bytes())


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_it_shows_every_transaction_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with running_demo(tmp_path, "--replicas", "2") as demo:
        primary, replica = (demo.base / name / "mnt" / "sample.db" for name in ("n1", "n3"))
        assert f'sqlite3 {primary} "UPDATE' in demo.text, "a command to copy"
        delay = r" +\+\d+\.\d ms"
        line = rf"^sample\.db  TXID 0000000000000005 +\d+ pages +[\d,]+ bytes of LTX  n2{delay}  n3{delay}$"
        demo.wait_for(line)
        sqlite3(primary, "UPDATE customers SET city = 'Oslo' WHERE id = 1")
        demo.wait_for(r"^sample\.db  TXID 0000000000000006 +\d+ pages? .* n2 +\+.*ms  n3 +\+.*ms$")
        assert sqlite3(replica, "SELECT city FROM customers WHERE id = 1") == "Oslo\n"
        assert sqlite3(replica, "SELECT count(*) FROM invoice_lines") == "3029\n"
        (primary.parent / "sample.db").unlink()
        demo.wait_for(r"^sample\.db  TXID 0000000000000007 +dropped ")
        nodes = json.loads((demo.base / "cluster.json").read_text())["nodes"]
        mounts = [Path(node["mount"]) for node in nodes]
        assert len(mounts) == 3 and all(map(is_mounted, mounts))
        pids = [int(pid) for pid in Path(f"/proc/{demo.process.pid}/task/{demo.process.pid}/children")
                .read_text().split()]  # fmt: skip
        assert len(pids) == 3
        assert demo.ctrl_c() == 0
        assert demo.lines[-1] == "Stopping …\n"
        assert "Traceback" not in demo.text
        assert not any(map(is_mounted, mounts))
        assert all(map(is_gone, pids))
        assert not demo.base.exists()


def test_kept_files_are_gone_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    with running_demo(tmp_path, "--replicas", "0", "--dir", str(folder), "--keep") as demo:
        demo.wait_for("TXID 0000000000000005")
    assert (folder / "n1/data/dbs/sample.db/database").exists()
    assert not is_mounted(folder / "n1/mnt")
    with running_demo(tmp_path, "--replicas", "1", "--dir", str(folder)) as demo:
        demo.wait_for("sample.db is from an earlier demo here and goes on")
        sqlite3(folder / "n1/mnt/sample.db", "DELETE FROM invoice_lines")
        demo.wait_for("TXID 0000000000000006.*n2")
    assert [path.name for path in folder.iterdir()] == ["n1"], "what this run made is removed"


def test_a_killed_demo_takes_its_nodes_along(tmp_path: Path) -> None:
    with running_demo(tmp_path, "--replicas", "1") as demo:
        mounts = [demo.base / name / "mnt" for name in ("n1", "n2")]
        assert all(map(is_mounted, mounts))
        os.kill(demo.process.pid, signal.SIGKILL)
    assert wait_until(lambda: not any(map(is_mounted, mounts)), 30)


def test_ctrl_c_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    demo = DemoProcess(tmp_path, ["--replicas", "1"])
    demo.wait_for("Starting a primary")
    assert wait_until((demo.base / "n1/log").exists, 10)
    base = demo.base
    demo.ctrl_c()
    assert "Traceback" not in demo.text
    assert not base.exists()


def test_a_node_s_end_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    with running_demo(tmp_path, "--replicas", "2") as demo:
        demo.wait_for("TXID 0000000000000005")
        children = Path(f"/proc/{demo.process.pid}/task/{demo.process.pid}/children").read_text().split()
        [pid] = [int(child) for child in children
                 if "n2/litefs.yml" in Path(f"/proc/{child}/cmdline").read_text()]  # fmt: skip
        os.kill(pid, signal.SIGKILL)
        demo.wait_for("^n2 has ended with exit code -9")
        sqlite3(demo.base / "n1/mnt/sample.db", "UPDATE customers SET city = 'Oslo' WHERE id = 1")
        demo.wait_for(r"TXID 0000000000000006 .* n2 +not yet  n3 +\+")


LINE = r"^sample\.db  TXID 0000000000000006 .*"


def written_after_a_failover(demo: DemoProcess) -> Path:
    """Kill the primary by the line that is printed, and write where the demo says; that path."""
    demo.wait_for("TXID 0000000000000005")
    os.kill(int(demo.wait_for(r"^  kill -9 (\d+)$")[1]), signal.SIGKILL)
    demo.wait_for("^n1 was killed: nobody can write until another node has the lease, for up to 4.5 s")
    told = demo.wait_for(
        r"^n([23]) is the primary now: lease taken \d+\.\d s after n1's death; writes go to (.*)$"
    )
    sqlite3(Path(told[2]), "UPDATE customers SET city = 'Oslo' WHERE id = 1")
    demo.wait_for(f"{LINE} n1 +not yet  n{5 - int(told[1])} +\\+")
    return Path(told[2])


def test_a_failover_is_told_and_nothing_is_left_behind_after_it(tmp_path: Path) -> None:
    """The killed node's dead mount is taken away, too."""
    with running_demo(tmp_path, "--failover") as demo:
        base = demo.base
        written_after_a_failover(demo)
        assert demo.ctrl_c() == 0
        assert "Traceback" not in demo.text
    assert not any(is_mounted(base / name / "mnt") for name in ("n1", "n2", "n3"))
    assert not any(str(base) in line for line in command_lines())
    assert not base.exists()


@pytest.mark.full
def test_a_killed_node_comes_back_as_a_replica_and_a_kept_demo_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    arguments = ("--failover", "--replicas", "1", "--dir", str(folder))
    with running_demo(tmp_path, *arguments, "--keep") as demo:
        demo.wait_for("TXID 0000000000000005")
        os.kill(int(demo.wait_for(r"^  kill -9 (\d+)$")[1]), signal.SIGKILL)
        path = Path(demo.wait_for(r"^n2 is the primary now: .* writes go to (.*)$")[1])
        sqlite3(path, "UPDATE customers SET city = 'Oslo' WHERE id = 1")
        demo.wait_for("^n1 is started again")
        demo.wait_for("^n1 is a replica of n2 now")
        status = subprocess.run(
            python_module("pylitefs", "status", "--dir", str(folder)), capture_output=True, text=True
        )
        assert status.returncode == 0 and "n2 has the lease of 3 s for another " in status.stdout
        assert " replica of n2\n" in status.stdout
        os.kill(int(demo.wait_for(r"^  \(its process: kill -9 (\d+)\)$")[1]), signal.SIGKILL)
        demo.wait_for("^n1 is the primary now")
    with running_demo(tmp_path, *arguments) as demo:
        demo.wait_for("sample.db is from an earlier demo here and goes on")
        assert sqlite3(folder / "n2/mnt/sample.db", "SELECT city FROM customers WHERE id = 1") == "Oslo\n"
        assert "kept aside" not in demo.text
    assert (folder / "leases").exists(), "what the earlier demo made stays"


def test_a_failover_takes_two_nodes_and_a_time_that_makes_sense(tmp_path: Path) -> None:
    done = run_demo(tmp_path, "--failover", "--replicas", "0")
    assert done.returncode == 2 and "needs a second node: --replicas 1, or more" in done.stderr
    done = run_demo(tmp_path, "--failover", "--ttl", "10ms")
    assert done.returncode == 2 and "1s to 60s" in done.stderr


def run_demo(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = python_module("pylitefs", "demo", *arguments)
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, env={**os.environ, **surroundings(tmp_path)}
    )


def test_two_demos_in_one_folder_are_one_too_many(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    with running_demo(tmp_path, "--replicas", "0", "--dir", str(folder)):
        done = run_demo(tmp_path, "--dir", str(folder))
        assert done.returncode == 1
        busy = f"a demo is running in {folder} already"
        assert done.stderr == f"pylitefs: {busy}; name another folder with --dir\n"


def test_a_folder_of_someone_else_s_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "n1").mkdir()
    (tmp_path / "n1" / "thesis.txt").write_text("precious")
    done = run_demo(tmp_path, "--dir", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == f"pylitefs: {tmp_path}/n1 is not a demo's; name another folder with --dir\n"
    assert (tmp_path / "n1" / "thesis.txt").read_text() == "precious"
