"""Small, durable file work, and whose the data directory is."""

import os
from pathlib import Path

import pytest

from pylitefs.store.files import (
    check_room,
    file_size,
    is_from_before_boot,
    pwrite_all,
    pwritev_all,
    start_writing,
    write_all,
    write_durably,
)


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clusterid"
    write_durably(path, b"first")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(5, "failed by the test")))
    with pytest.raises(OSError):
        write_durably(path, b"second")
    assert path.read_bytes() == b"first"
    monkeypatch.undo()
    write_durably(path, b"third")
    assert path.read_bytes() == b"third"
    assert list(tmp_path.iterdir()) == [path], "nothing is left beside it"


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal or a full pipe may cut a write short; a page must not be half there."""
    write, pwrite = os.write, os.pwrite
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: pwrite(fd, data[:3], offset))
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    write_all(fd, b"0123456789")
    pwrite_all(fd, memoryview(b"abcdefgh"), 5)
    assert os.pread(fd, 100, 0) == b"01234abcdefgh"
    os.close(fd)


def test_a_missing_file_has_no_bytes(tmp_path: Path) -> None:
    assert file_size(tmp_path / "none") == 0
    (tmp_path / "file").write_bytes(b"12")
    assert file_size(tmp_path / "file") == 2


def test_room_is_looked_for_and_the_lack_of_it_named(tmp_path: Path) -> None:
    check_room(tmp_path, 1, "this")
    said = rf"this needs \d+ bytes more in {tmp_path}, and \d+ are free: make room"
    with pytest.raises(OSError, match=said):
        check_room(tmp_path, 1 << 62, "this")


def test_to_begin_to_write_out_promises_and_breaks_nothing(tmp_path: Path) -> None:
    """Also past the file's end, and on a descriptor that is closed."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)
    with path.open("r+b", buffering=0) as file:
        start_writing(file.fileno(), 0, 100_000)
        start_writing(file.fileno(), 1 << 40, 1)
    start_writing(-1, 0, 1)
    assert path.read_bytes() == b"x" * 100_000


def test_pieces_are_written_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the kernel takes only some of the bytes at once."""
    usual = os.pwritev
    path = tmp_path / "file"
    for pwritev in (usual, lambda fd, pieces, offset: usual(fd, [bytes(pieces[0])[:3]], offset)):
        monkeypatch.setattr(os, "pwritev", pwritev)
        path.write_bytes(b"....")
        with path.open("r+b", buffering=0) as file:
            pwritev_all(file.fileno(), [memoryview(b"abcd"), memoryview(b"ef")], 2)
        assert path.read_bytes() == b"..abcdef"


def test_a_file_written_before_the_machine_was_started_is_told_by_its_time(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert not is_from_before_boot(path)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    assert is_from_before_boot(path)
