"""`pylitefs lecture`, as it is typed."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from pylitefs.child_python import python_module
from pylitefs.cli import lecture as lecture_command
from pylitefs.cli import lecture_page
from pylitefs.cli.main import run
from pylitefs.cluster.cluster import ClusterError, is_mounted, wait_until
from pylitefs.errors import MountError
from pylitefs.lecture import recording
from pylitefs.lecture.language import lesson as lessons
from pylitefs.mount import requirements
from tests.cli.typed import lines_at, started, step, url_of

LESSON = """\
# A short one

One transaction, held.

## Only this

A table, and a commit that waits.

```lesson
cluster replicas 0
sql n1 CREATE TABLE t (a)
pause
sql n1 INSERT INTO t VALUES (1)
run-to ltx.commit
expect n1 waits
run
expect n1 sql "SELECT count(*) FROM t" = {count}
```
"""


def write_lesson(folder: Path, count: int = 1) -> Path:
    path = folder / "short.md"
    path.write_text(LESSON.format(count=count))
    return path


def test_the_list_names_every_lesson(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lecture", "--list"]) == 0
    out = capsys.readouterr().out
    for name in lessons.names():
        assert name in out
        assert lessons.load(name).title in out
        assert lessons.load(name).summary in out


def test_without_a_lesson_a_pipe_gets_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lecture"]) == 0
    assert "pylitefs lecture NAME" in capsys.readouterr().out


def test_without_a_lesson_a_person_is_asked_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    answers = iter(["2", "ltx-file", ""])
    monkeypatch.setattr(click, "prompt", lambda *_args, **_options: next(answers))
    assert lecture_command._ask_which() == lessons.names()[1]
    assert lecture_command._ask_which() == "ltx-file"
    assert lecture_command._ask_which() == ""


def test_a_lesson_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lecture", "comit", "--headless"]) == 1
    assert re.fullmatch(r"pylitefs: there is no lesson 'comit'.*commit.*\n", capsys.readouterr().err)


@pytest.mark.parametrize("command", [["lecture", "commit"], ["replay", "x"]])
def test_the_page_is_for_this_machine_alone(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--host", "0.0.0.0"]) == 2
    assert "ssh -L" in capsys.readouterr().err
    assert run([*command, "--host", "example.org"]) == 2


def test_the_dockerfile_starts_the_lecture_with_options_that_there_are() -> None:
    text = (Path(__file__).resolve().parents[2] / "demo" / "lecture.Dockerfile").read_text()
    found = re.search(r"^ENTRYPOINT (\[.*\])$", text, re.MULTILINE)
    assert found
    program, *arguments = json.loads(found[1])
    assert program == "pylitefs"
    assert f"{lecture_page.IN_CONTAINER}=1" in text
    assert run([*arguments, "--help"]) == 0
    port = arguments[arguments.index("--port") + 1]
    assert f"-p 127.0.0.1:{port}:{port}" in text
    assert f"EXPOSE {port}\n" in text


def test_demo_lecture_sets_up_and_starts_it() -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([root / "demo" / "lecture", "--list"], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert lessons.names()[0] in done.stdout


@pytest.mark.usefixtures("with_packaged")
def test_where_fuse_is_missing_it_says_so_in_a_line_and_names_the_recording(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(requirements, "FUSE_DEVICE", tmp_path / "no-fuse")
    assert run(["lecture", "commit", "--no-browser"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("pylitefs: no live nodes here: ")
    assert "is not there" in first
    assert second.endswith("pylitefs replay commit")
    assert run(["lecture", "wal", "--no-browser"]) == 1
    assert "replay" not in capsys.readouterr().err, "there is no recording of it"
    assert run(["lecture", "commit", "--headless"]) == 1


@pytest.mark.usefixtures("with_packaged")
def test_a_person_without_fuse_is_offered_the_recording(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(requirements, "FUSE_DEVICE", tmp_path / "no-fuse")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(click, "confirm", lambda *_args, **_options: True)
    monkeypatch.setattr("pylitefs.lecture.show.terminal.read_line", lambda _prompt: None)
    assert run(["lecture", "commit", "--terminal"]) == 0
    assert "A made-up lesson" in capsys.readouterr().out


@pytest.mark.usefixtures("with_packaged")
def test_where_fuse_is_there_and_fails_it_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise ClusterError("node n1 ended with exit code 1:\n  pylitefs: libfuse has no such option\n")

    monkeypatch.setattr(requirements, "check", lambda: None)
    monkeypatch.setattr("pylitefs.cli.lecture_live.Cluster", fail)
    assert run(["lecture", "commit", "--no-browser"]) == 1
    assert "libfuse has no such option" in capsys.readouterr().err.splitlines()[0]


def test_another_system_is_told_that_nodes_need_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(MountError, match="this is darwin"):
        lecture_command.check_platform()


# On real nodes.


def nothing_is_left(tmp_path: Path) -> bool:
    return not list((tmp_path / "temp").iterdir()) and str(tmp_path) not in Path("/proc/mounts").read_text()


@pytest.mark.fuse
def test_headless_tells_each_steps_outcome_and_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_lesson(tmp_path)
    arguments = ["--dir", str(tmp_path / "here"), "--record", str(tmp_path / "run.jsonl.gz")]
    assert run(["lecture", str(path), "--headless", *arguments]) == 0
    out = capsys.readouterr().out
    assert "ok       1  cluster replicas 0\n" in out
    assert "ok       8  expect n1 sql" in out
    assert re.search(r"^short: ok in \d+\.\d s$", out, re.MULTILINE)
    assert not (tmp_path / "here").exists()
    found = recording.read(tmp_path / "run.jsonl.gz")
    assert [step.text for step in found.head.steps] == [step.text for step in lessons.load(path).steps]
    assert any(entry.name == "ltx.commit" for entry in found.entries)
    assert str(tmp_path) not in json.dumps(list(found.lines()))


@pytest.mark.fuse
def test_headless_exits_1_where_an_expect_fails(tmp_path: Path) -> None:
    path = write_lesson(tmp_path, count=7)
    done = subprocess.run(
        python_module("pylitefs", "lecture", str(path), "--headless"),
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 1
    assert "ok       7  run\n" in done.stdout
    assert "FAILED   8  expect n1 sql" in done.stdout
    assert "short: FAILED" in done.stdout
    assert "7" in done.stderr


@pytest.mark.fuse
def test_the_page_steps_real_nodes_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    arguments = [str(write_lesson(tmp_path)), "--no-browser", "--record", str(tmp_path / "run.jsonl")]
    with started(tmp_path, "lecture", *arguments) as process:
        url = url_of(process)
        step(url)
        done = {line["entry"]["step"] for line in lines_at(url) if "entry" in line}  # type: ignore[index]
        assert done == {0, 1}, "the nodes start by themselves"
        for _ in range(3):
            step(url)
        [mount] = [
            str(value)
            for line in lines_at(url)
            for key, value in line.get("entry", {}).get("set", {}).items()  # type: ignore[attr-defined]
            if key == "node/n1/mount"
        ]
        assert is_mounted(Path(mount))
        process.send_signal(signal.SIGINT)  # in the middle of a commit that is held
        assert process.wait(30) == 0
    assert nothing_is_left(tmp_path)
    assert recording.read(tmp_path / "run.jsonl").entries[-1].step == 5, "the expect after it included"


@pytest.mark.fuse
def test_the_terminal_steps_real_nodes(tmp_path: Path, eventually: Callable[..., None]) -> None:
    with started(tmp_path, "lecture", str(write_lesson(tmp_path)), "--terminal") as process:
        out, _ = process.communicate("\n" * 5 + "sql n1/b SELECT count(*) FROM t\nd\nq\n", timeout=60)
        assert process.returncode == 0, out
    assert "A table, and a commit that waits." in out
    assert re.search(r"n1\s+ltx\.commit", out)
    assert "ltx.commit by writer" in out
    eventually(lambda: nothing_is_left(tmp_path), "no mount and no folder")


@pytest.mark.fuse
def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine").write_text("mine")
    assert run(["lecture", "commit", "--headless", "--dir", str(tmp_path / "here")]) == 1
    assert "not empty" in capsys.readouterr().err
    assert (tmp_path / "here" / "mine").read_text() == "mine"


@pytest.mark.fuse
def test_a_kill_ends_the_nodes_too(tmp_path: Path) -> None:
    """Nobody can clean up after SIGKILL; but no process may stay, and no commit held."""
    with started(tmp_path, "lecture", str(write_lesson(tmp_path)), "--no-browser") as process:
        url = url_of(process)
        for _ in range(4):
            step(url)
        children = [int(pid) for pid in children_of(process.pid)]
        assert children
        process.kill()
        process.wait(10)
        assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), 20)
    for mount in (tmp_path / "temp").glob("*/**/mnt"):
        from pylitefs.cluster.cluster import unmount

        unmount(mount)


def children_of(pid: int) -> list[str]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += (task / "children").read_text().split()
    return found
