"""`pylitefs replay`, as it is typed: in a file, in the terminal, in the page."""

import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from pylitefs.child_python import python_module
from pylitefs.cli.main import run
from tests.cli.typed import asked, lines_at, started, url_of
from tests.lecture.sample_run import entries


def test_replay_writes_one_html_file(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["replay", str(recorded), "--html", str(tmp_path / "run.html")]) == 0
    assert 'id="recording"' in (tmp_path / "run.html").read_text()
    assert "run.html: " in capsys.readouterr().out
    assert run(["replay", str(recorded), "--html", str(tmp_path / "missing" / "run.html")]) == 1
    assert "--html" in capsys.readouterr().err


def test_replay_of_what_is_none_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").write_text("Hello\n")
    assert run(["replay", str(tmp_path / "x")]) == 1
    assert "line 1: not JSON" in capsys.readouterr().err
    assert run(["replay", "nothing-like-it"]) == 1
    assert "neither a recording's file nor one of" in capsys.readouterr().err


def test_replay_of_a_cut_recording_says_so(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded.write_bytes(recorded.read_bytes()[:-30])
    assert run(["replay", str(recorded), "--html", f"{recorded}.html"]) == 0
    assert "it plays up to there" in capsys.readouterr().err


def test_replay_in_the_terminal_reads_a_pipe(recorded: Path) -> None:
    done = subprocess.run(
        python_module("pylitefs", "replay", str(recorded), "--terminal"),
        input="\n\nd\nq\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "SQLite writes the journal's header." in done.stdout
    assert "d9d505f9" in done.stdout
    assert "\x1b" not in done.stdout, "a pipe gets no colours"


def test_replay_serves_the_page_until_ctrl_c(recorded: Path, tmp_path: Path) -> None:
    with started(tmp_path, "replay", str(recorded), "--no-browser") as process:
        url = url_of(process)
        assert "<title>" in httpx.get(url).text
        assert len(lines_at(url)) == 1 + 1 + len(entries())
        assert asked(url, {"next": True}).status_code == 409, "a recording has no nodes"
        assert httpx.get(url.partition("?")[0]).status_code == 403, "the token is needed"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
