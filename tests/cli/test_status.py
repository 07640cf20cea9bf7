"""`pylitefs status` shows a database that its node does not serve."""

from rich.console import Console

from pylitefs.cli.nodes import NodeReport
from pylitefs.cli.status import table


def test_a_database_that_is_set_aside_has_a_row() -> None:
    console = Console(width=200)
    with console.capture() as printed:
        console.print(table([NodeReport("n1", "http://n1", is_primary=True, set_aside={"bad.db": "why"})]))
    (row,) = [line for line in printed.get().splitlines() if "bad.db" in line]
    assert row.startswith("n1") and "set aside: not served" in row
