"""Time, sleep and chance are what is handed in: SQLite's own functions show them."""

import threading
import time
from contextlib import closing

from pylitefs.store.store import Store
from pylitefs.vfs.front import Front
from pylitefs.vfs.outside import Outside


class Still(Outside):
    """A machine on which it is always the same moment, and chance is none."""

    def unix_ms(self) -> int:
        return 1_000_000_000_000

    def random(self, size: int) -> bytes:
        return bytes(range(size % 256)).ljust(size, b"\1")


def test_sqlite_asks_nobody_else_for_the_time(store: Store) -> None:
    front = Front(store, outside=Still())
    with closing(front.connect("a.db")) as db:
        assert db.execute("SELECT datetime('now')").get == "2001-09-09 01:46:40"
    front.close()


def test_the_machine_s_own() -> None:
    own = Outside()
    before = own.monotonic()
    own.sleep(0.001)
    assert own.monotonic() > before
    assert abs(own.unix_ms() / 1000 - time.time()) < 60
    assert len(own.random(16)) == 16 and own.random(16) != own.random(16)
    changed = threading.Condition()
    with changed:
        own.wait(changed, 0.001)
