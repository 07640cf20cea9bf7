"""The path that a person knows leads to the LTX files; a span says which states are meant."""

from pathlib import Path

import click
import pytest

from pylitefs.cli.moments import find_source, parse_span
from pylitefs.errors import RestoreError


def test_a_database_s_history_is_found_beside_it(tmp_path: Path) -> None:
    (tmp_path / "dbs" / "a.db" / "ltx").mkdir(parents=True)
    (tmp_path / "dbs" / "a.db" / "database").touch()
    (tmp_path / "b.db").touch()
    (tmp_path / ".b.db-litestream").mkdir()
    assert find_source(tmp_path / "dbs" / "a.db" / "database", "") == tmp_path / "dbs" / "a.db"
    assert find_source(tmp_path / "b.db", "") == tmp_path / ".b.db-litestream"
    assert find_source(tmp_path, "") == tmp_path
    with pytest.raises(RestoreError, match="has no LTX files"):
        find_source(tmp_path / "c.db", "")


@pytest.mark.parametrize(
    ("text", "span"),
    [("a", (None, 10)), ("..b", (0, 11)), ("0..B", (0, 11)), ("1f..000000000000002a", (31, 42))],
)
def test_a_span_is_hex(text: str, span: tuple[int | None, int]) -> None:
    context = click.Context(click.Command("x"))
    assert parse_span(context, click.Argument(["span"]), text) == span
