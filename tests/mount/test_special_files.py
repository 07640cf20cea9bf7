"""The special files' bytes and names, without a mount."""

import pytest

from pylitefs.ltx.position import Pos
from pylitefs.mount.special_files import (
    SpecialKind,
    SpecialName,
    lag_content,
    listed_names,
    position_content,
    primary_content,
    split_special,
)
from pylitefs.store.status import LAG_NEVER_SYNCED, Status


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (".lag", SpecialName(SpecialKind.LAG, "")),
        (".primary", SpecialName(SpecialKind.PRIMARY, "")),
        ("a.db-pos", SpecialName(SpecialKind.POS, "a.db")),
        ("a.db-lock", SpecialName(SpecialKind.LOCK, "a.db")),
        ("a.db", None),
        ("a.db-wal", None),
        ("-pos", None),
        (".primary-wal", None),
    ],
)
def test_a_name_is_taken_apart(name: str, expected: SpecialName | None) -> None:
    assert split_special(name) == expected


@pytest.mark.parametrize(
    ("lag", "content"),
    [
        (0, b"+000000000\n"),
        (42, b"+000000042\n"),
        (123456789, b"+123456789\n"),
        (LAG_NEVER_SYNCED, b"+2147483647"),
    ],
)
def test_the_lag_is_11_bytes(lag: int, content: bytes) -> None:
    assert lag_content(lag) == content
    assert len(content) == 11


def test_a_position_is_34_bytes() -> None:
    content = position_content(Pos(0x1F, 0x8000000000000ABC))
    assert content == b"000000000000001f/8000000000000abc\n"
    assert len(content) == 34


def test_primary_names_the_host_on_a_connected_replica_only() -> None:
    assert primary_content(Status(is_primary=True, primary_hostname="n1")) is None
    assert primary_content(Status()) is None
    assert primary_content(Status(primary_hostname="n1")) == b"n1\n"


def test_lock_files_are_never_listed() -> None:
    listed = list(listed_names(Status(primary_hostname="n1"), ["a", "b"]))
    assert listed == [".lag", ".primary", "a-pos", "b-pos"]
