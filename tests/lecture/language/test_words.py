"""The words of the lesson language: read, or said to be wrong with the remedy."""

from collections.abc import Callable
from functools import partial

import pytest

from pylitefs.lecture.language import words
from pylitefs.lecture.language.words import Wrong
from pylitefs.trace import TRACEPOINTS


@pytest.mark.parametrize("word", ["n1", "n10", "n99"])
def test_a_node_is_n_and_a_number(word: str) -> None:
    assert words.node_name(word) == word and words.shell_name(f"{word}/reader-2") == (word, "reader-2")
    assert words.shell_name(word) == (word, "")


@pytest.mark.parametrize(
    ("read", "said", "remedy"),
    [
        *((partial(words.node_name, word), repr(word), "n1, n2") for word in ("n0", "n100", "m1", "n1/a")),
        (partial(words.node_name, ""), "the node is missing", "n1, n2"),
        *((partial(words.shell_name, word), repr(word), "n2/reader") for word in ("n1/", "n1/A", "n1/2")),
        (partial(words.tracepoint, "ltx.comit"), "'ltx.comit'", "ltx.commit"),
        (partial(words.tracepoint, "?"), "'?'", "journal.write"),
        (partial(words.tracepoints, ["journal", "lt"]), "'lt'", ""),
        (partial(words.number, "-1", "offset"), "'-1' is no offset", ""),
        (partial(words.number, "٣", "offset"), "is no offset", ""),
        (partial(words.number, "", "offset"), "is no offset", ""),
        (partial(words.nothing, ["a", "b"]), "'a b' is too much", ""),
        (partial(words.split_words, "a", 2, 3), "something is missing", ""),
        (partial(words.split_words, "a b c d", 2, 3), "'d' is too much", ""),
        (partial(words.txid, "000000000000001F"), "is no TXID", ""),
        (partial(words.txid, "1f"), "is no TXID", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_remedy(read: Callable[[], object], said: str, remedy: str) -> None:
    with pytest.raises(Wrong) as caught:
        read()
    assert said in str(caught.value) and remedy in caught.value.remedy


def test_a_txid_is_decimal_or_as_the_position_file_shows_it() -> None:
    assert words.txid("31") == words.txid("000000000000001f") == 31
    assert words.txid("0000000000000010") == 16


def test_a_group_is_all_of_its_tracepoints_in_their_order() -> None:
    journal = [name for name in TRACEPOINTS if name.startswith("journal.")]
    assert words.tracepoints(["pos.advance", "journal"]) == ("pos.advance", *journal)
    assert words.tracepoints([]) == ()


def test_words_are_counted() -> None:
    assert words.split_words(" a  b ", 1, 2) == ["a", "b"] and words.split_words("", 0, 0) == []
    words.nothing([])


def test_the_nearest_name_is_a_near_one_or_none() -> None:
    assert words.nearest("stepp", ["step", "sql"]) == "step"
    assert words.nearest("xyz", ["step", "sql"]) == ""
