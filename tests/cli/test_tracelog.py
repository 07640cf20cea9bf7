"""Tracepoints as lines: what is on one, and files that are rotated."""

import gzip
import logging
from pathlib import Path

import pytest

from pylitefs.cli.tracelog import line, to_file, to_log
from pylitefs.config import TracingConfig
from pylitefs.errors import ConfigError
from pylitefs.trace import Event

WALL_NS = 1_700_000_000_123_456_789


def event(name: str = "ltx.commit", *, size: int = 1043, database: str = "a.db", txid: int = 31) -> Event:
    return Event(name, "n1", database, txid, 5, WALL_NS, 77 if database else 0, {"size": size})


def test_a_line_has_what_there_is_of_an_event() -> None:
    assert line(event()) == "ltx.commit db=a.db txid=000000000000001f pid=77 size=1043"
    assert line(event("node.start", database="", txid=0)) == "node.start size=1043"


def test_tracing_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    to_log(event(size=7))
    assert caplog.messages == ["ltx.commit db=a.db txid=000000000000001f pid=77 size=7"]


def test_a_file_s_lines_have_the_event_s_time(tmp_path: Path) -> None:
    """And its folder is made."""
    path = tmp_path / "deep" / "er" / "trace.log"
    write = to_file(TracingConfig(path=str(path)))
    write(event(size=1))
    write(event(size=2))
    first, second = path.read_text().splitlines()
    when, _, rest = first.partition(" ")
    assert when.endswith(":20.123") and when.startswith("2023-11-1") and rest == line(event(size=1))
    assert second.endswith("size=2")


@pytest.mark.parametrize("compress", [True, False])
def test_files_are_rotated_and_the_oldest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compress: bool
) -> None:
    monkeypatch.setattr("pylitefs.cli.tracelog._MEGABYTE", 100)
    path = tmp_path / "trace.log"
    write = to_file(TracingConfig(path=str(path), max_size=1, max_count=2, compress=compress))
    for size in range(1, 6):
        write(event(size=size))
    end = ".gz" if compress else ""
    newest, older, oldest = path, tmp_path / f"trace.log.1{end}", tmp_path / f"trace.log.2{end}"
    assert sorted(tmp_path.iterdir()) == [newest, older, oldest]
    for one, size in ((newest, 5), (older, 4), (oldest, 3)):
        raw = one.read_bytes()
        text = gzip.decompress(raw) if one is not newest and compress else raw
        assert text.decode().endswith(f"size={size}\n"), one


def test_a_file_that_cannot_be_written_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"^tracing\.path: .*file/trace\.log cannot be written: "):
        to_file(TracingConfig(path=str(tmp_path / "file" / "trace.log")))
    with pytest.raises(ConfigError, match="Is a directory"):
        to_file(TracingConfig(path=str(tmp_path)))
