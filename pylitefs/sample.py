"""The sample database of the demo: customers, invoices and invoice lines, the same on every machine.

The rule: what is in it depends on this module alone (one seeded generator, fixed dates), so that a
lecture can print a query's answer beforehand. It is written in several transactions, as an
application would, so that the demo has something to show from the start.
"""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

CUSTOMERS = 300
INVOICES = 1200
LINES_AT_MOST = 4
INVOICES_A_TRANSACTION = 400
FIRST_DAY = date(2024, 1, 2)
SEED = 20202

SCHEMA = """
CREATE TABLE customers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    city TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE
);
CREATE TABLE invoices (
    id INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    issued_on TEXT NOT NULL,
    paid_on TEXT
);
CREATE TABLE invoice_lines (
    id INTEGER PRIMARY KEY,
    invoice_id INTEGER NOT NULL REFERENCES invoices (id),
    item TEXT NOT NULL,
    quantity INTEGER NOT NULL,
    unit_cents INTEGER NOT NULL
);
CREATE INDEX invoices_by_customer ON invoices (customer_id);
CREATE INDEX lines_by_invoice ON invoice_lines (invoice_id);
CREATE VIEW invoice_totals AS
    SELECT invoices.id, customer_id, issued_on, paid_on, sum(quantity * unit_cents) AS cents
    FROM invoices JOIN invoice_lines ON invoice_id = invoices.id GROUP BY invoices.id;
"""

_FIRST = "Ada Alan Barbara Edsger Edgar Frances Grace Hedy Jim Joan Karen Ken Leslie Margaret Niklaus Radia"
_LAST = "Abel Berg Costa Dahl Eriksen Fischer Garcia Haas Ivanova Jansen Kaya Lund Moreau Novak Okafor Rossi"
_CITIES = "Amsterdam Bergen Bilbao Brno Gdansk Ghent Graz Leipzig Lyon Malmo Porto Tampere Trieste Uppsala"
_ITEMS = (
    ("fountain pen", 2450),
    ("ink, blue", 690),
    ("notebook A5", 1180),
    ("desk lamp", 5900),
    ("pencil, dozen", 840),
    ("paper, 500 sheets", 720),
    ("stapler", 1590),
    ("ruler, steel", 480),
)

_Customer = tuple[int, str, str, str]
_Invoice = tuple[int, int, str, str | None]
_Line = tuple[int, str, int, int]


def create(path: Path) -> int:
    """Create the sample database at `path`, which must not exist; the number of transactions it took."""
    chance = random.Random(SEED)
    customers, invoices = list(_customers(chance)), list(_invoices(chance))
    lines = list(_lines(chance))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(f"BEGIN;{SCHEMA}COMMIT;")
        db.execute("BEGIN")
        db.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", customers)
        db.execute("COMMIT")
        transactions = 2
        for start in range(0, INVOICES, INVOICES_A_TRANSACTION):
            end = start + INVOICES_A_TRANSACTION
            db.execute("BEGIN")
            db.executemany("INSERT INTO invoices VALUES (?, ?, ?, ?)", invoices[start:end])
            db.executemany(
                "INSERT INTO invoice_lines (invoice_id, item, quantity, unit_cents) VALUES (?, ?, ?, ?)",
                (line for line in lines if start < line[0] <= end),
            )
            db.execute("COMMIT")
            transactions += 1
    return transactions


def _customers(chance: random.Random) -> Iterator[_Customer]:
    first, last, cities = _FIRST.split(), _LAST.split(), _CITIES.split()
    for id_ in range(1, CUSTOMERS + 1):
        given, family = chance.choice(first), chance.choice(last)
        email = f"{given}.{family}.{id_}@example.com".lower()
        yield id_, f"{given} {family}", chance.choice(cities), email


def _invoices(chance: random.Random) -> Iterator[_Invoice]:
    for id_ in range(1, INVOICES + 1):
        issued = FIRST_DAY + timedelta(days=id_ * 365 // INVOICES)
        paid = issued + timedelta(days=chance.randint(3, 45)) if chance.random() < 0.8 else None
        yield id_, chance.randint(1, CUSTOMERS), issued.isoformat(), paid.isoformat() if paid else None


def _lines(chance: random.Random) -> Iterator[_Line]:
    for invoice in range(1, INVOICES + 1):
        for item, cents in chance.sample(_ITEMS, chance.randint(1, LINES_AT_MOST)):
            yield invoice, item, chance.randint(1, 9), cents
