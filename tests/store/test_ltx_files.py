"""The list of LTX files: what is in it is durable and readable, what is not is never found."""

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitefs.ltx.encoder import encode
from pylitefs.ltx.header import Header, format_filename
from pylitefs.store.ltx_files import CACHE_BYTES, LtxCache, LtxFiles


def test_names_are_litefs_s_and_others_are_passed_over(tmp_path: Path) -> None:
    for name in ("0000000000000001-000000000000000a.ltx", "000000000000000b-000000000000000b.ltx",
                 "0000000000000001-0000000000000001.ltx.tmp", "1-1.ltx", "receiving.tmp"):  # fmt: skip
        (tmp_path / name).touch()
    files = LtxFiles(tmp_path)
    files.load()
    assert files.ranges() == [(1, 10), (11, 11)]
    assert files.path(1, 10).name == "0000000000000001-000000000000000a.ltx"
    assert LtxFiles(tmp_path / "none").ranges() == []


@given(st.lists(st.integers(1, 40), unique=True), st.integers(0, 41))
def test_the_file_that_continues_a_position_is_found_or_none(txids: list[int], at: int) -> None:
    files = LtxFiles(Path("/nowhere"))
    for txid in txids:
        files.add(txid, txid)
        files.add(txid, txid)
    assert files.ranges() == [(txid, txid) for txid in sorted(txids)], "each once"
    assert files.next(at) == ((at + 1, at + 1) if at + 1 in txids else None)


def test_a_file_that_the_disk_does_not_let_go_stays_in_the_list(tmp_path: Path) -> None:
    """The next start would find it. What never was in the list, does not join it."""
    files = LtxFiles(tmp_path)
    for txid in (1, 2):
        files.path(txid, txid).mkdir()  # Which no unlink removes.
    files.add(1, 1)
    for txid in (1, 2):
        with pytest.raises(OSError, match=files.path(txid, txid).name):
            files.remove(txid, txid)
    assert files.ranges() == [(1, 1)]
    files.path(1, 1).rmdir()
    files.remove(1, 1)
    assert files.ranges() == []


def test_a_file_that_spans_several_transactions_is_found_by_its_first(tmp_path: Path) -> None:
    files = LtxFiles(tmp_path)
    files.add(1, 8)
    files.add(9, 9)
    assert files.next(0) == (1, 8)
    assert files.next(8) == (9, 9)
    assert files.next(4) is None


def test_the_newest_files_are_read_from_memory_up_to_a_limit(tmp_path: Path) -> None:
    files = LtxFiles(tmp_path)
    content = bytes(100_000)
    for txid in range(1, 201):
        files.add(txid, txid, content)
        files.add(txid, txid, content)  # Received again: it must not count twice.
    kept = [txid for txid in range(1, 201) if files.read(txid, txid) is not None]
    assert kept == list(range(kept[0], 201)), "the newest"
    assert 155 <= len(kept) <= 168, "sixteen MiB of them"
    files.add(201, 201, bytes(2 << 20))
    assert files.read(201, 201) is None, "a large one is read from its path"
    files.remove(200, 200)
    assert files.read(200, 200) is None and (200, 200) not in files.ranges()


def test_the_limit_is_the_nodes_and_not_each_databases(tmp_path: Path) -> None:
    """A hundred databases of a node keep no more recent files in memory than one."""
    cache = LtxCache()
    databases = [LtxFiles(tmp_path / str(number), cache) for number in range(100)]
    for txid in range(1, 11):
        for files in databases:
            files.add(txid, txid, bytes(100_000))
    assert cache.size <= CACHE_BYTES
    kept = [files.read(10, 10) for files in databases]
    assert all(content is not None for content in kept), "the newest of each"
    assert databases[0].read(1, 1) is None


def test_a_header_is_read_from_memory_or_file_and_is_none_once_the_file_is_gone(tmp_path: Path) -> None:
    header = Header(0, 512, 1, 1, 1, 7, node_id=5)
    raw = encode(header, [(1, bytes(512))], 1 << 63)
    files = LtxFiles(tmp_path)
    files.path(1, 1).write_bytes(raw)
    files.add(1, 1)
    assert files.header(1, 1) == header
    files.add(2, 2, raw)
    assert files.header(2, 2) == header
    files.remove(1, 1)
    assert files.header(1, 1) is None
    assert not (tmp_path / format_filename(1, 1)).exists()
    files.remove(1, 1)  # Twice is no error: retention and a snapshot may both want it gone.


def test_readers_and_a_writer_do_not_disturb_each_other(tmp_path: Path) -> None:
    files = LtxFiles(tmp_path)
    wrong: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            ranges = files.ranges()
            if ranges != sorted(ranges):
                wrong.append(ranges)
            if ranges and (found := files.next(ranges[-1][0] - 1)) not in (ranges[-1], None):
                wrong.append(found)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for txid in range(1, 1500):
        files.add(txid, txid, b"x" * 1000)
        if txid > 20:
            files.remove(txid - 20, txid - 20)
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
