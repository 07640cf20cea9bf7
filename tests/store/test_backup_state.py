"""What a node tells of its backup: a trouble is a line when it begins, and one when it has ended."""

import logging

import pytest

from pylitefs.store.backup_state import BackupState


def test_a_trouble_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    state = BackupState("file:///b")
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            state.fails("no room", "a.db")
            state.fails("gone")
        state.works("b.db")
        assert list(state.troubles()) == ["", "a.db"]
        assert state.troubles()["a.db"].startswith("no room (since 20")
        state.works("a.db")
        state.works("a.db")
    texts = [record.getMessage() for record in caplog.records]
    assert texts == ["backup of a.db: no room", "backup: gone", "backup of a.db goes on again, after 0 s"]
    assert list(state.troubles()) == [""]


def test_another_trouble_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    state = BackupState("file:///b")
    state.fails("no room")
    state.fails("no folder")
    assert len(caplog.records) == 2
    assert state.troubles()[""].startswith("no folder")
