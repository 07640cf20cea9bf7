"""A file that is read while it is written: neither side waits for one that has ended."""

import threading

import pytest

from pylitefs.store.growing import GivenUpError, Growing


def test_the_reader_waits_for_more_and_for_the_end() -> None:
    growing = Growing()
    growing.grew(10)
    assert growing.ready(0) == 10
    found: list[int] = []

    def read() -> None:
        had = 10
        while (size := growing.ready(had)) > had:
            found.append(had := size)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    growing.grew(25)
    growing.grew(30)
    growing.end()
    reader.join(60)
    assert not reader.is_alive() and found[-1] == 30


def test_the_writer_s_error_is_the_reader_s() -> None:
    growing = Growing()
    growing.grew(10)
    growing.end(OSError("full"))
    with pytest.raises(OSError, match="full"):
        growing.ready(0)


def test_the_writer_hears_of_a_reader_that_is_gone() -> None:
    growing = Growing()
    growing.give_up()
    with pytest.raises(GivenUpError):
        growing.grew(10)
