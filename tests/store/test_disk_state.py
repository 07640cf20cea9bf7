"""The lines about a node's disk: one for each state, not for each call that fails."""

import errno
import logging
import time
from pathlib import Path

import pytest

from pylitefs.store import disk_state
from pylitefs.store.disk_state import DiskState, refusal

FULL = OSError(errno.ENOSPC, "full")


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]


def test_a_disk_that_is_nearly_full_is_told_once_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small transactions succeed between large ones that fail; the state is right all the time."""
    disk = DiskState(tmp_path)
    for _ in range(5):
        for _ in range(3):
            assert disk.note(FULL)
        assert disk.told.startswith(f"the disk of {tmp_path} is full: make room (since ")
        disk.works()
        assert disk.told == "" and not disk.code
    assert len(errors(caplog)) == 1
    assert caplog.text.count("takes transactions again") == 1
    assert disk.note(FULL)
    later = time.monotonic() + disk_state._AGAIN_S
    monkeypatch.setattr("pylitefs.store.disk_state.time.monotonic", lambda: later)
    assert disk.note(FULL) and disk.note(FULL)
    assert len(errors(caplog)) == 2, "one that lasts is told, though it came back soon"
    disk.works()
    assert caplog.text.count("takes transactions again") == 2


def test_another_state_is_told_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk = DiskState(tmp_path)
    assert disk.note(FULL) and disk.note(OSError(errno.EROFS, "read-only"))
    assert "is full" in errors(caplog)[0] and "is read-only" in errors(caplog)[1]


def test_what_the_node_refuses_is_not_the_disk_s(tmp_path: Path) -> None:
    disk = DiskState(tmp_path)
    assert not disk.note(refusal(errno.EROFS, "a replica")) and not disk.note(OSError(errno.ENOENT, "none"))
    assert disk.told == ""
