"""The formats' tables in docs/ltx.md are the code's own, and they are whole."""

from pylitefs.ltx.formats import WRITTEN_BY, Format
from pylitefs.ltx.header import HEADER_SIZE, Header
from pylitefs.ltx.parts import header_fields
from tests.ltx_tables import PAGE, in_docs, tables


def test_the_tables_are_the_code_s() -> None:
    assert in_docs() == tables(), f"{PAGE.name} is stale: write it anew with `python -m tests.ltx_tables`"


def test_every_field_of_the_header_and_every_format_is_there() -> None:
    text = in_docs()
    fields = header_fields(Header(0, 512, 1, 1, 1, 0))
    at = 0
    for name, size, _ in fields:
        assert f"| {at} | {size} | {name} |" in text
        at += size
    assert at == HEADER_SIZE
    assert set(WRITTEN_BY) == set(Format)
