"""The note that pages may be in no LTX file: durable, never weakened, and void once the capture was made."""

from pathlib import Path

import pytest

from pylitefs.store.marker import MARKER, Left, note, read_marker


@pytest.mark.parametrize("left", [Left.FREE_PAGES, Left.COMMITTED])
def test_a_note_counts_until_an_ltx_file_is_newer(tmp_path: Path, left: Left) -> None:
    note(tmp_path, 5, left)
    assert read_marker(tmp_path, 5) is left
    assert read_marker(tmp_path, 6) is Left.NOTHING, "the capture was made"


def test_no_note_and_one_that_a_crash_left_empty_say_nothing(tmp_path: Path) -> None:
    assert read_marker(tmp_path, 0) is Left.NOTHING
    (tmp_path / MARKER).touch()
    assert read_marker(tmp_path, 0) is Left.NOTHING


def test_a_note_is_only_replaced_by_one_that_says_more(tmp_path: Path) -> None:
    note(tmp_path, 5, Left.COMMITTED)
    written = (tmp_path / MARKER).read_text()
    assert written == "0000000000000005\n"
    note(tmp_path, 5, Left.FREE_PAGES)
    assert (tmp_path / MARKER).read_text() == written
    note(tmp_path, 6, Left.FREE_PAGES)
    assert (tmp_path / MARKER).read_text() == "0000000000000006 rolled back\n"
    note(tmp_path, 6, Left.COMMITTED)
    assert read_marker(tmp_path, 6) is Left.COMMITTED


def test_a_note_is_durable_when_it_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal that told the same goes next."""
    written: list[tuple[Path, bytes]] = []
    monkeypatch.setattr(
        "pylitefs.store.marker.write_durably", lambda path, data: written.append((path, data))
    )
    note(tmp_path, 1, Left.COMMITTED)
    assert written == [(tmp_path / MARKER, b"0000000000000001\n")]
