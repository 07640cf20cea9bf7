"""Who has a database's files open: a descriptor counts as long as its file bears the name."""

from pylitefs.store.names import FileKind
from pylitefs.store.open_files import OpenFiles


def test_a_descriptor_is_on_the_file_it_was_opened_on() -> None:
    files = OpenFiles()
    files.add(FileKind.WAL, 7)
    assert files.any(FileKind.WAL) and not files.any(FileKind.DATABASE)
    assert files.is_live(FileKind.WAL, 7) and not files.is_live(FileKind.SHM, 7)
    files.discard(FileKind.WAL, 7)
    files.discard(FileKind.WAL, 7)
    assert not files.any(FileKind.WAL)


def test_after_an_unlink_it_is_on_another_file() -> None:
    """And whoever opens the name then is counted anew, also under the same number."""
    files = OpenFiles()
    files.add(FileKind.JOURNAL, 7)
    files.add(FileKind.DATABASE, 8)
    files.unlinked(FileKind.JOURNAL)
    assert not files.is_live(FileKind.JOURNAL, 7) and files.is_live(FileKind.DATABASE, 8)
    files.add(FileKind.JOURNAL, 7)
    assert files.any(FileKind.JOURNAL)


def test_a_write_only_descriptor_is_one_no_longer_than_the_database() -> None:
    files = OpenFiles()
    for fd in (7, 8):
        files.add(FileKind.DATABASE, fd)
        files.write_only.add(fd)
    files.discard(FileKind.DATABASE, 7)
    assert files.write_only == {8}
    files.unlinked(FileKind.WAL)
    assert files.write_only == {8}
    files.unlinked(FileKind.DATABASE)
    assert files.write_only == set()
