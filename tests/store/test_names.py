"""Names: a name of the mount or the network never leads out of the data directory (invariant 6)."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitefs.errors import InvalidNameError
from pylitefs.store.names import (
    MAX_NAME,
    FileKind,
    check_database_name,
    check_name,
    check_path,
    database_dir,
    directory_remedy,
    is_super_journal,
    split_name,
)

HOSTILE = ["", ".", "..", "/", "a/b", "../a", "/etc/passwd", "a/../../b", "..\0", "a\0b", "x" * 241]
HOSTILE += ["é" * 121]
STEERING = ["a\n", "\x1b[31m", "a\x7f", "a\x9b31m", "gp.\u202eexe", "\u2066a", "\u200fa", "a\u2028b"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_could_be_a_path_or_is_too_long_is_refused(tmp_path: Path, name: str) -> None:
    for use in (check_name, check_database_name, split_name, lambda name: database_dir(tmp_path, name)):
        with pytest.raises(InvalidNameError):
            use(name)


@pytest.mark.parametrize("name", STEERING)
def test_a_name_that_would_steer_a_terminal_is_refused(tmp_path: Path, name: str) -> None:
    """Also as a side file's; another node may have one, so it is no reason to end a stream."""
    for use in (check_name, check_database_name, split_name, lambda name: database_dir(tmp_path, name)):
        with pytest.raises(InvalidNameError, match="control character"):
            use(name)
    with pytest.raises(InvalidNameError):
        split_name(f"{name}-wal")
    assert check_path(name) == name


@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
def test_the_database_s_part_of_a_side_file_s_name_is_checked(suffix: str) -> None:
    for name in ("..", "a/b", ".", "a\0", "x" * 241):
        with pytest.raises(InvalidNameError):
            split_name(name + suffix)


def test_a_side_file_s_name_is_split_at_its_suffix() -> None:
    assert split_name("a.db") == ("a.db", FileKind.DATABASE)
    assert split_name("a.db-journal") == ("a.db", FileKind.JOURNAL)
    assert split_name("a.db-wal") == ("a.db", FileKind.WAL)
    assert split_name("a.db-shm") == ("a.db", FileKind.SHM)
    assert split_name("a-wal-shm") == ("a-wal", FileKind.SHM)
    assert split_name("-wal") == ("-wal", FileKind.DATABASE), "a suffix alone is a name"
    assert split_name("a-WAL") == ("a-WAL", FileKind.DATABASE)


@pytest.mark.parametrize(
    "name", ["a-journal", "a-wal", "a-shm", "a-pos", "a-lock", ".primary", ".lag", "a.db-mj012345678"]
)
def test_a_name_that_the_mount_understands_otherwise_cannot_be_a_database(name: str) -> None:
    with pytest.raises(InvalidNameError, match="in the mount it is not a database's file"):
        check_database_name(name)


@pytest.mark.parametrize("name", ["a b", "ä.db", "-pos", "-", "...", "a-", "-mj012345678", "\udcff"])
def test_everything_else_can_be_a_database(name: str) -> None:
    assert check_database_name(name) == name


def test_a_super_journal_is_told_by_its_nine_hex_digits() -> None:
    assert is_super_journal("a.db-mj1A2B3C9FF") == ("a.db", "1A2B3C9FF")
    assert is_super_journal("a-mj000000000-mj111111111") == ("a-mj000000000", "111111111")
    for name in ("a.db-mj", "a.db-mj1A2B3C9F", "a.db-mj1A2B3C9FFF", "a.db-mj1a2b3c9ff", "-mj1A2B3C9FF"):
        assert is_super_journal(name) is None


@given(st.text(max_size=300))
def test_no_name_leads_out_of_the_data_directory(name: str) -> None:
    data = Path("/data")
    try:
        path = database_dir(data, name)
    except InvalidNameError:
        return
    assert path.parent == data / "dbs" and path.name == name
    assert len(path.name.encode("utf-8", "surrogateescape")) <= MAX_NAME
    for kind in FileKind:
        assert split_name(name + kind.suffix)[0] in (name, name + kind.suffix)


def test_a_directory_that_litestream_asks_for_is_told_by_its_name() -> None:
    """Its default is `.DB-litestream` beside the database; who wants that has a setting for it."""
    assert "Litestream's meta-path for a.db" in directory_remedy(".a.db-litestream")
    for name in ("folder", "a.db-litestream", ".-litestream", ".a.db"):
        assert directory_remedy(name) == "put it elsewhere"
