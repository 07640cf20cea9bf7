"""One transaction over several attached databases: SQLite's super-journal decides for all of them.

Its unlink is the commit point. A client killed before leaves nothing; one killed after leaves journals
whose transaction was committed, and both SQLite's next reader and the node's recovery find that out.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster, is_mounted, wait_until
from pylitefs.cluster.nursery import Nursery
from pylitefs.control.channel import RemoteGate
from tests.sqlite_use.pair import Client, Pair, connect, shell, trouble

pytestmark = pytest.mark.fuse

MODES = ["delete", "truncate", "persist"]
found_out_by = pytest.mark.parametrize(
    ("mode", "restart"),
    [*((mode, False) for mode in MODES), ("delete", True)],
    ids=[*(f"{mode}-reader" for mode in MODES), "delete-recovery"],
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery | None) -> Iterator[Pair]:
    """Two nodes whose tracepoints can be held."""
    base = tmp_path_factory.mktemp("attached")
    with Cluster(base, replicas=1, controlled=True, nursery=nursery) as cluster:
        yield Pair(cluster)
        found = [line for node in cluster for line in trouble(node)]
    assert not any(is_mounted(node.mount) for node in cluster)
    assert not found, "\n".join(found)


def gate(pair: Pair, name: str, database: str, client: Client) -> RemoteGate:
    assert pair.primary.control
    return pair.primary.control.gate(name, database=database, pids=[client.pid])


def attached(pair: Pair, tag: str, mode: str, count: int = 2) -> list[str]:
    """Databases with a hundred rows, to be used together."""
    names = [f"{tag}-{mode}-{n}.db" for n in range(count)]
    for name in names:
        pair.make(name, f"PRAGMA journal_mode={mode}", rows=100)
        pair.check(name)
    return names


def attach(pair: Pair, names: list[str]) -> list[str]:
    """SQL that attaches all but the first, as b, c, … in their own journal modes."""
    lines = [f"ATTACH '{pair.path(name)}' AS {chr(98 + n)};" for n, name in enumerate(names[1:])]
    mode = names[0].split("-")[-2]
    return [*lines, f"PRAGMA journal_mode={mode};"]


def super_journals(pair: Pair) -> list[Path]:
    return list((pair.primary.data / "dbs").glob("*/mj*"))


@pytest.mark.parametrize("mode", MODES)
def test_a_commit_in_all_of_them(pair: Pair, mode: str) -> None:
    """One transaction in each database, and no super-journal is left."""
    names = attached(pair, "commit", mode, 3)
    before = [pair.txid(name) for name in names]
    shell(
        pair.path(names[0]),
        *attach(pair, names),
        "BEGIN;",
        "INSERT INTO main.t(b) VALUES('x');",
        "INSERT INTO b.t(b) VALUES('y');",
        "DELETE FROM c.t WHERE a>50;",
        "COMMIT;",
        "UPDATE main.t SET b=(SELECT count(*) FROM c.t) WHERE a=1;",
    )
    assert [pair.check(name).txid for name in names] == [before[0] + 2, before[1] + 1, before[2] + 1]
    assert not super_journals(pair)
    assert not any("-mj" in name for node in pair.cluster for name in os.listdir(node.mount))


@pytest.mark.parametrize("mode", MODES)
def test_a_rollback_in_all_of_them(pair: Pair, mode: str) -> None:
    names = attached(pair, "rollback", mode)
    before = [pair.pos(name) for name in names]
    with connect(pair.path(names[0])) as db:
        db.execute(f"ATTACH '{pair.path(names[1])}' AS b")
        for schema in ("main", "b"):
            db.execute(f"PRAGMA {schema}.cache_size=5")
        db.execute("BEGIN")
        db.execute("UPDATE main.t SET b=hex(randomblob(200))")
        db.execute("UPDATE b.t SET b=hex(randomblob(200))")
        db.execute("ROLLBACK")
    db.close()
    assert [pair.check(name) for name in names] == before


def test_with_a_database_in_wal_mode_and_one_that_is_elsewhere(pair: Pair, tmp_path: Path) -> None:
    """Each is committed in its own way; the super-journal is beside the first."""
    names = [
        pair.make("mix.db", rows=10).name,
        pair.make("mix-wal.db", "PRAGMA journal_mode=wal", rows=10).name,
    ]
    plain = tmp_path / "plain.db"
    shell(plain, "CREATE TABLE t(a INTEGER PRIMARY KEY, b);")
    before = [pair.check(name).txid for name in names]
    for first, others in ((pair.path("mix.db"), plain), (plain, pair.path("mix.db"))):
        shell(
            first,
            f"ATTACH '{others}' AS other; ATTACH '{pair.path('mix-wal.db')}' AS wal;",
            "BEGIN;",
            *(f"INSERT INTO {schema}.t(b) VALUES('x');" for schema in ("main", "other", "wal")),
            "COMMIT;",
        )
    assert [pair.check(name).txid for name in names] == [txid + 2 for txid in before]
    assert shell(plain, "SELECT count(*) FROM t") == "2"
    assert not super_journals(pair)


def begin(pair: Pair, client: Client, names: list[str]) -> None:
    client.tell(*attach(pair, names), "BEGIN;", "UPDATE main.t SET b='new';", "UPDATE b.t SET b='new';")


def kill_at(held: RemoteGate, client: Client) -> None:
    """Kill the client in the call that is held; it ends when that call is answered."""
    assert held.wait(10)
    os.kill(client.pid, 9)
    held.release()
    held.close()
    client.kill()


@found_out_by
def test_a_client_killed_after_the_super_journal_is_gone(pair: Pair, mode: str, restart: bool) -> None:
    """The first journal had just ended; the other's transaction is committed as well."""
    names = attached(pair, f"after-{restart}", mode)
    before = [pair.txid(name) for name in names]
    with Client(pair.path(names[0])) as client:
        begin(pair, client, names)
        held = gate(pair, "journal.invalidate", names[0], client)
        client.send("COMMIT;")
        kill_at(held, client)
    assert not super_journals(pair)
    assert [pair.txid(name) for name in names] == [before[0] + 1, before[1]]
    assert pair.path(names[1] + "-journal").exists()
    if restart:
        pair.primary.restart()
        assert [pair.txid(name) for name in names] == [before[0] + 1, before[1] + 1]
    for name in names:
        assert shell(pair.path(name), ".timeout 5000", "SELECT count(*) FROM t WHERE b='new'") == "100"
    assert [pair.check(name).txid for name in names] == [before[0] + 1, before[1] + 1]


@found_out_by
def test_a_client_killed_while_the_super_journal_is_there(pair: Pair, mode: str, restart: bool) -> None:
    """Both databases hold pages of the transaction, and both are rolled back."""
    names = attached(pair, f"before-{restart}", mode)
    before = [pair.pos(name) for name in names]
    with Client(pair.path(names[0])) as client:
        begin(pair, client, names)
        held = gate(pair, "page.write", names[1], client)
        client.send("COMMIT;")
        kill_at(held, client)
    assert super_journals(pair)
    if restart:
        pair.primary.restart()
    for name in names:
        assert shell(pair.path(name), ".timeout 5000", "SELECT count(*) FROM t WHERE b='new'") == "0"
    assert [pair.check(name) for name in names] == before
    assert wait_until(lambda: not super_journals(pair), 5)


def test_a_super_journal_on_a_replica_is_refused(pair: Pair) -> None:
    names = attached(pair, "replica", "delete")
    with connect(pair.copy(names[0])) as db:
        db.execute(f"ATTACH '{pair.copy(names[1])}' AS b")
        db.execute("BEGIN")
        with pytest.raises(Exception, match="readonly"):
            db.execute("INSERT INTO b.t(b) VALUES('x')")
    db.close()
    for name in names:
        pair.check(name)
