"""The invoices: everything the application asks of its database, with the standard `sqlite3` module.

The rule: one path, one connection a request, and not a word about replication.
"""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

PAGE_SIZE = 12
BUSY_SECONDS = 5.0


@dataclass(frozen=True)
class Found:
    """One page of a search."""

    rows: list[sqlite3.Row]
    total: int
    page: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // PAGE_SIZE))


class Invoices:
    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # mode=rw: a database that is not there is an error and not a new, empty one.
        db = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS)
        db.row_factory = sqlite3.Row
        try:
            with db:
                yield db
        finally:
            db.close()

    def search(self, text: str = "", page: int = 1) -> Found:
        """Invoices whose customer or city holds `text`, or whose number it is; the newest first."""
        like = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        where = "(name LIKE :like ESCAPE '\\' OR city LIKE :like ESCAPE '\\' OR CAST(t.id AS TEXT) = :text)"
        source = f"FROM invoice_totals t JOIN customers c ON c.id = t.customer_id WHERE {where}"
        with self._open() as db:
            found = {"like": like, "text": text, "limit": PAGE_SIZE, "offset": (page - 1) * PAGE_SIZE}
            total = db.execute(f"SELECT count(*) {source}", found).fetchone()[0]
            rows = db.execute(
                f"SELECT t.id, name, city, issued_on, paid_on, cents {source} "
                "ORDER BY t.id DESC LIMIT :limit OFFSET :offset",
                found,
            ).fetchall()
        return Found(rows, total, page)

    def invoice(self, number: int) -> tuple[sqlite3.Row, list[sqlite3.Row]] | None:
        """An invoice and its lines; None if there is none with this number."""
        with self._open() as db:
            head = db.execute(
                "SELECT t.*, name, city, email FROM invoice_totals t "
                "JOIN customers c ON c.id = t.customer_id WHERE t.id = ?",
                (number,),
            ).fetchone()
            lines = db.execute("SELECT * FROM invoice_lines WHERE invoice_id = ?", (number,)).fetchall()
        return (head, lines) if head else None

    def choices(self) -> tuple[list[str], dict[str, int]]:
        """What a new invoice may name: customers, and items with their prices in cents."""
        with self._open() as db:
            names = [row["name"] for row in db.execute("SELECT DISTINCT name FROM customers ORDER BY name")]
            items = db.execute("SELECT item, max(unit_cents) FROM invoice_lines GROUP BY item ORDER BY item")
            return names, dict(items.fetchall())

    def add(self, customer: str, item: str, quantity: int) -> int:
        """Write a new invoice of one line; its number. Raises ValueError for what is not there."""
        if not 0 < quantity <= 1000:
            raise ValueError("The quantity must lie between 1 and 1,000.")
        with self._open() as db:
            found = db.execute("SELECT id FROM customers WHERE name = ? ORDER BY id", (customer,)).fetchone()
            prices = "SELECT max(unit_cents) FROM invoice_lines WHERE item = ?"
            price = db.execute(prices, (item,)).fetchone()[0]
            if found is None or price is None:
                raise ValueError(f"There is no {'customer' if found is None else 'item'} of that name.")
            today = date.today().isoformat()
            number = db.execute(
                "INSERT INTO invoices (customer_id, issued_on) VALUES (?, ?)", (found["id"], today)
            ).lastrowid
            db.execute(
                "INSERT INTO invoice_lines (invoice_id, item, quantity, unit_cents) VALUES (?, ?, ?, ?)",
                (number, item, quantity, price),
            )
            assert number is not None
            return number

    def mark_paid(self, number: int) -> bool:
        """Note today as the day of payment; False if there is no such invoice."""
        with self._open() as db:
            today = date.today().isoformat()
            return db.execute("UPDATE invoices SET paid_on = ? WHERE id = ?", (today, number)).rowcount == 1

    def touch_any(self) -> None:
        """A small write, for the load button: some old invoice is paid on another day."""
        with self._open() as db:
            day = date.today().replace(month=random.randint(1, 12), day=random.randint(1, 28)).isoformat()
            last = db.execute("SELECT max(id) FROM invoices").fetchone()[0]
            db.execute("UPDATE invoices SET paid_on = ? WHERE id = ?", (day, random.randint(1, last)))
