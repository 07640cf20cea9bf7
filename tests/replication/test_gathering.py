"""What came together is handed on together: in order, by database, and never later than something else."""

from pylitefs.replication.gathering import MOST_BYTES, Gathering
from pylitefs.store.together import MOST_TOGETHER

Handed = list[tuple[str, list[bytes]]]


def gathering() -> tuple[Gathering, Handed]:
    handed: Handed = []
    return Gathering(lambda name, files: handed.append((name, files))), handed


def test_they_are_handed_on_in_one_go_when_nothing_more_comes() -> None:
    gathered, handed = gathering()
    gathered.flush()
    for content in (b"1", b"2", b"3"):
        gathered.add("a.db", content)
    assert handed == []
    gathered.flush()
    gathered.flush()
    assert handed == [("a.db", [b"1", b"2", b"3"])]


def test_each_database_has_its_own_in_their_order() -> None:
    """Whoever writes two in turn loses nothing by it."""
    gathered, handed = gathering()
    for number, name in enumerate(("a.db", "b.db", "a.db", "b.db")):
        gathered.add(name, b"%d" % number)
    gathered.flush()
    assert handed == [("a.db", [b"0", b"2"]), ("b.db", [b"1", b"3"])]


def test_many_files_or_bytes_do_not_wait() -> None:
    gathered, handed = gathering()
    for _ in range(MOST_TOGETHER):
        gathered.add("a.db", b"1")
    assert handed == [("a.db", [b"1"] * MOST_TOGETHER)]
    gathered.add("a.db", bytes(MOST_BYTES))
    assert len(handed) == 2


def test_what_is_forgotten_is_not_handed_on() -> None:
    gathered, handed = gathering()
    gathered.add("a.db", b"1")
    gathered.forget()
    gathered.flush()
    assert handed == []


def test_one_that_fails_takes_none_along_to_the_next_time() -> None:
    """Whoever takes them in may raise: the connection ends, and they are asked for again."""
    calls: Handed = []

    def fails(name: str, files: list[bytes]) -> None:
        calls.append((name, files))
        raise OSError("no space")

    gathered = Gathering(fails)
    gathered.add("a.db", b"1")
    for _ in range(2):
        try:
            gathered.flush()
        except OSError:
            pass
    assert calls == [("a.db", [b"1"])]
